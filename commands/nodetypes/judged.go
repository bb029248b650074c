package nodetypes

import (
	"context"
	"encoding/json"
	"strings"
	"unicode"

	"quipu/commands/node"
	"quipu/domain/rawjson"
)

// judgeTimeoutSeconds is O1's limit for everything but agents and calls (contract C.2).
const judgeTimeoutSeconds = 300

// either points to a field beside config, where LAO writes it, or in config, where the Orchestrator
// does; config counts where both have it.
func (r *reader) either(name string) string {
	if p := "/config/" + name; r.has(p) || !r.has("/"+name) {
		return p
	}
	return "/" + name
}

// judge reads which model decides.
func (r *reader) judge() modelConfig {
	var c modelConfig
	if r.has("/config") {
		r.members("/config")
	}
	r.model(&c)
	c.keyAt = r.either("openai_api_key")
	if !r.has(c.keyAt) {
		c.keyAt = "/config/api_key"
	}
	c.key, _ = r.text(c.keyAt)
	c.model, _ = r.text(r.either("model"))
	if at := r.either("temperature"); at == "/temperature" {
		c.temperature, c.hasTemperature = r.number(at, 0, 2)
	}
	if !c.hasTemperature {
		c.temperature, c.hasTemperature = 0, true // a decision should not depend on luck
	}
	c.json = r.boolean("/config/json_mode", true)
	return c
}

// askJudge asks the model for a decision and returns its words; "" if there is no model.
func (d Deps) askJudge(ctx context.Context, call node.Call, c modelConfig, q question) (string, answer, map[string]any, *node.Failure) {
	if c.model == "" {
		c.model = d.Model.Name
	}
	c.stream = false // nobody reads a decision word by word
	ans, details, failure := d.askModel(ctx, call, c, q)
	if failure != nil {
		return "", answer{}, details, failure
	}
	return rawjson.Unquote(ans.output), ans, details, nil
}

// topic is the text that is decided about: the message, else what the tasks before gave.
func topic(r *reader, call node.Call) string {
	for _, at := range []string{"/message", "/config/message", "/user_message", "/config/user_message"} {
		if raw, ok := rawjson.Get(r.params, at); ok && rawjson.KindOf(raw) != rawjson.Null {
			return plain(unwrapValue(raw))
		}
	}
	given := distinct(call.Upstream)
	if len(given) == 1 {
		return plain(given[0].Output)
	}
	var lines []string
	for _, up := range given {
		lines = append(lines, up.Task+": "+plain(up.Output))
	}
	return strings.Join(lines, "\n")
}

// object finds the JSON object in a model's words: all of them, what stands in a fence, or what stands
// from the first brace to the last. Nil if there is none.
func object(words string) json.RawMessage {
	words = strings.TrimSpace(words)
	start, end := strings.IndexByte(words, '{'), strings.LastIndexByte(words, '}')
	if start < 0 || end < start {
		return nil
	}
	raw := []byte(words[start : end+1])
	if rawjson.Check(raw, 64) != nil {
		return nil
	}
	return raw
}

// lowerWords are the words of a text in lower case: runs of letters and digits.
func lowerWords(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) })
}

// fillers are words that say nothing of a topic. The lists belong to the deterministic provider's
// answers, which are pinned: it never changes.
var fillers = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`a an and are as at be by can do does for from has have how i if in is it its me my of on or
		our please should that the their there this to was we what when where which who why will with would you your`) {
		m[w] = true
	}
	return m
}()

// topicWords are the distinct words of texts that say something.
func topicWords(texts ...string) map[string]bool {
	out := map[string]bool{}
	for _, t := range texts {
		for _, w := range lowerWords(t) {
			if !fillers[w] {
				out[w] = true
			}
		}
	}
	return out
}

// shared counts the words that both have.
func shared(a, b map[string]bool) int {
	n := 0
	for w := range a {
		if b[w] {
			n++
		}
	}
	return n
}

// undecided is the failure of a model's answer that decides nothing; another attempt may do better.
func undecided(what, words string, details map[string]any) *node.Failure {
	f := badReply("the model's answer", what, []byte(words), details)
	f.Retryable = true
	return f
}
