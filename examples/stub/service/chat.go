package service

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
)

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// chat answers as a model would. The model's name picks what it is good at, the text decides the
// answer, so that examples read plausibly and never differ.
func (s *Service) chat(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Model    string    `json:"model"`
		Messages []message `json:"messages"`
	}
	if !read(w, r, &q) {
		return
	}
	if q.Model == "" || len(q.Messages) == 0 {
		fail(w, http.StatusBadRequest, "model and messages are required")
		return
	}
	if !wait(r, s.Pace) {
		return
	}
	said := q.Messages[len(q.Messages)-1].Content
	text := reply(q.Model, said)
	sum := sha256.Sum256([]byte(q.Model + "\x00" + said))
	asked, answered := len(strings.Fields(said)), len(strings.Fields(text))
	answer(w, http.StatusOK, map[string]any{
		"id": "chatcmpl-" + hex.EncodeToString(sum[:8]), "object": "chat.completion", "created": 1_780_000_000, "model": q.Model,
		"choices": []any{map[string]any{"index": 0, "message": message{Role: "assistant", Content: text}, "finish_reason": "stop"}},
		"usage":   map[string]int{"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered},
	})
}

func reply(model, said string) string {
	lower := strings.ToLower(said)
	switch {
	case strings.HasPrefix(model, "sentiment"):
		return sentiment(lower)
	case strings.HasPrefix(model, "writer"):
		return draft(lower)
	case strings.HasPrefix(model, "analyst"):
		return analysis(lower)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(said), "\n")
	return "Understood: " + first
}

func sentiment(text string) string {
	mood, urgency := "neutral", "normal"
	for _, word := range []string{"broken", "unacceptable", "angry", "failed", "cannot"} {
		if strings.Contains(text, word) {
			mood = "upset"
		}
	}
	for _, word := range []string{"today", "hour", "now", "meeting", "urgent"} {
		if strings.Contains(text, word) {
			urgency = "high"
		}
	}
	if strings.Contains(text, "thank") && mood == "neutral" {
		mood = "happy"
	}
	return "mood: " + mood + "; urgency: " + urgency
}

func draft(text string) string {
	opening := "Thank you for writing to us."
	if strings.Contains(text, "mood: upset") {
		opening = "We are sorry for the trouble this gives you."
	}
	closing := "We will answer within two working days."
	if strings.Contains(text, "urgency: high") {
		closing = "An engineer is looking at it now; you will hear from us within the hour."
	}
	return opening + " " + closing
}

func analysis(text string) string {
	if strings.Contains(text, "records") {
		return "The batch holds sales of one day; check amounts and currencies before loading."
	}
	return "Nothing out of the ordinary."
}
