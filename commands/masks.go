package commands

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"quipu/commands/expression"
	"quipu/commands/sealing"
	"quipu/domain"
	"quipu/domain/rawjson"
)

// fillMasks puts the secrets that a template has joined into a longer text in the place of their
// masks, for an attempt's own use. Only what templates gave is looked at: a text that came as it is,
// by a reference or out of a secret's place, may hold a mask that a client wrote. Only secrets that the
// templates could read count: those of the run's input and of the outputs so far.
func (a *attempt) fillMasks(ctx context.Context, params json.RawMessage) json.RawMessage {
	if !bytes.Contains(params, []byte(sealing.MaskPrefix)) {
		return params
	}
	rendered := a.rendered()
	var seen map[string]domain.Hole // built once there is a mask: a text may hold very many
	return sealing.FillMasks(params, rendered, func(fp string) (string, bool) {
		if seen == nil {
			seen = a.secretsSeen()
		}
		hole, ok := seen[fp]
		if !ok {
			return "", false
		}
		raw, err := a.session.Open(ctx, domain.Value{JSON: []byte("null"), Holes: []domain.Hole{hole}})
		if err != nil || rawjson.KindOf(raw) != rawjson.String {
			return "", false
		}
		return rawjson.Unquote(raw), true
	})
}

// rendered tells which pointers of the task's input lead to text that its templates gave.
func (a *attempt) rendered() func(pointer string) bool {
	places, sealed := map[string]bool{}, map[string]bool{}
	if t, err := expression.ParseTemplates(a.state.Written(a.index).JSON); err == nil && t != nil {
		for _, p := range t.Pointers() {
			places[p] = true
		}
	}
	for _, h := range a.state.Task(a.index).Input.Holes {
		if h.Sealed != "" {
			sealed[h.At] = true
		}
	}
	return func(pointer string) bool {
		from := false
		for {
			// A secret may be an object as a whole.
			if sealed[pointer] {
				return false
			}
			from = from || places[pointer]
			i := strings.LastIndexByte(pointer, '/')
			if i < 0 {
				return from
			}
			pointer = pointer[:i]
		}
	}
}

// secretsSeen are the secrets that expressions of the run have seen as masks, by fingerprint.
func (a *attempt) secretsSeen() map[string]domain.Hole {
	out := map[string]domain.Hole{}
	add := func(v domain.Value) {
		for _, h := range v.Holes {
			if h.Sealed != "" {
				out[h.FP] = domain.Hole{Sealed: h.Sealed, FP: h.FP}
			}
		}
	}
	add(a.state.Input)
	for i := range a.state.Tasks() {
		add(a.state.Task(i).Output)
	}
	return out
}
