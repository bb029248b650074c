package service

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// delayMax is the longest answer delay a request may ask for.
const delayMax = 10 * time.Second

// notification is one delivery.
type notification struct {
	ID       string          `json:"id"`
	Key      string          `json:"idempotency_key"`
	Body     json.RawMessage `json:"body"`
	Requests int             `json:"requests"` // how often it was asked for; delivered it was once
}

// notify delivers at once, and answers after delay_ms. A key that was seen before is not delivered
// again: the answer is the first one, with duplicate set.
func (s *Service) notify(w http.ResponseWriter, r *http.Request) {
	var body json.RawMessage
	if !read(w, r, &body) {
		return
	}
	delay, ok := delayOf(w, r)
	if !ok {
		return
	}
	n, duplicate := s.deliver(r.Header.Get("Idempotency-Key"), body)
	if n == nil {
		full(w, rowsMax)
		return
	}
	if !wait(r, delay) {
		return
	}
	answer(w, http.StatusOK, map[string]any{"id": n.ID, "delivered": true, "duplicate": duplicate})
}

func (s *Service) deliver(key string, body json.RawMessage) (n *notification, duplicate bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n = s.byKey[key]; n != nil && key != "" {
		n.Requests++
		return n, true
	}
	if len(s.notifications) >= rowsMax {
		return nil, false
	}
	n = &notification{ID: fmt.Sprintf("n-%d", 1+len(s.notifications)), Key: key, Body: body, Requests: 1}
	s.notifications = append(s.notifications, n)
	s.byKey[key] = n
	return n, false
}

func delayOf(w http.ResponseWriter, r *http.Request) (time.Duration, bool) {
	text := r.URL.Query().Get("delay_ms")
	if text == "" {
		return 0, true
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || time.Duration(n) > delayMax/time.Millisecond {
		fail(w, http.StatusBadRequest, "delay_ms is %q; give 0 to %d", text, delayMax.Milliseconds())
		return 0, false
	}
	return time.Duration(n) * time.Millisecond, true
}

func (s *Service) listNotifications(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{"notifications": append([]*notification{}, s.notifications...)})
}
