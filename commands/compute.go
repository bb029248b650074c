package commands

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"time"

	"quipu/commands/expression"
	"quipu/commands/node"
	"quipu/commands/sealing"
	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/run"
)

// Compute evaluates pure nodes, conditions, templates and the instants of timers for the decider.
//
// Secrets are masked in what they see; a mask that comes out again becomes its hole again, so that
// passing a secret through a pure node neither shows nor loses it. A payload that became a blob is
// read back here: it is content-addressed, so the result is as deterministic as its name.
type Compute struct {
	Registry *node.Registry
	Blobs    Blobs
}

var _ run.Compute = Compute{}

// conditionalTypes are the types whose outgoing edges name a branch instead of holding an
// expression (contract D9).
var conditionalTypes = map[string]bool{"conditional": true, "gpt_conditional_block": true}

// NamesBranch reports whether an edge's condition names a branch of its source and is not an
// expression.
func NamesBranch(function, condition string) bool {
	return conditionalTypes[function] && (condition == "true" || condition == "false")
}

// Node computes a pure node's output.
func (c Compute) Node(function string, input domain.Value, upstream []run.Upstream, scope run.Scope) (domain.Value, error) {
	typ, ok := c.Registry.Get(function)
	if !ok || typ.Compute == nil {
		return domain.Value{}, errors.New("this server has no pure function " + function)
	}
	var holes []domain.Hole
	call := node.Call{Function: function}
	var err error
	if call.Params, err = c.show(input, &holes); err != nil {
		return domain.Value{}, err
	}
	for _, u := range upstream {
		output, err := c.show(u.Output, &holes)
		if err != nil {
			return domain.Value{}, err
		}
		call.Upstream = append(call.Upstream, node.Upstream{Task: u.Task, Param: u.Param, Output: output, Skipped: u.Skipped})
	}
	shown, err := c.scope(scope, &holes)
	if err != nil {
		return domain.Value{}, err
	}
	call.Scope = &shown
	reply, err := typ.Compute(call)
	if err != nil {
		return domain.Value{}, faultOf(err)
	}
	if err := rawjson.Check(reply.Output, domain.JSONDepthMax); err != nil {
		return domain.Value{}, err
	}
	return unmask(reply.Output, holes), nil
}

// Gate evaluates the condition of an edge.
func (c Compute) Gate(function, condition string, scope run.Scope) (bool, error) {
	if NamesBranch(function, condition) {
		branch, _ := rawjson.Get(scope.Output.JSON, "/branch")
		return string(branch) == `"`+condition+`"`, nil
	}
	shown, err := c.scope(scope, nil)
	if err != nil {
		return false, err
	}
	return expression.Truth(condition, shown)
}

// Due tells until when a timer waits.
func (c Compute) Due(function string, input domain.Value, at time.Time) (time.Time, error) {
	typ, ok := c.Registry.Get(function)
	if !ok || typ.Due == nil {
		return time.Time{}, errors.New("this server has no timer " + function)
	}
	params, err := c.show(input, nil)
	if err != nil {
		return time.Time{}, err
	}
	due, err := typ.Due(node.Call{Function: function, Params: params}, at)
	var f *run.Fault
	if err = faultOf(err); errors.As(err, &f) {
		f.Type, f.Code = "", "" // every fault of a timer has the decider's
	}
	return due, err
}

// Render evaluates the templates in a task's parameters. What a template reads and gives back follows
// the same rules as what a pure node does: secrets are masks, a value that is a mask becomes its
// secret again. Within a longer text a mask stays a mask; a
// node gets the secret in its place under a secret key (fillMasks).
func (c Compute) Render(params domain.Value, scope run.Scope) (domain.Value, error) {
	t, err := expression.ParseTemplates(params.JSON)
	if err != nil || t == nil {
		return params, faultOf(err)
	}
	var holes []domain.Hole
	if !t.Reads("nodes") {
		scope.Nodes = func(func(string, domain.Value)) {}
	}
	shown, err := c.scope(scope, &holes)
	if err != nil {
		return domain.Value{}, err
	}
	places, err := t.Render(shown)
	if err != nil {
		return domain.Value{}, faultOf(err)
	}
	out := domain.Value{Holes: slices.Clone(params.Holes)}
	edits := make([]rawjson.Edit, len(places))
	for i, p := range places {
		v := unmask(p.JSON, holes)
		edits[i] = rawjson.Edit{Start: p.Start, End: p.End, New: v.JSON}
		for _, h := range v.Holes {
			h.At = p.Pointer + h.At
			out.Holes = append(out.Holes, h)
		}
	}
	out.JSON = rawjson.Splice(params.JSON, edits)
	if err := rawjson.Check(out.JSON, domain.JSONDepthMax); err != nil {
		return domain.Value{}, err
	}
	return out, nil
}

func (c Compute) scope(s run.Scope, holes *[]domain.Hole) (node.Scope, error) {
	out := node.Scope{Nodes: map[string]json.RawMessage{}}
	var err error
	if out.Output, err = c.show(s.Output, holes); err != nil {
		return out, err
	}
	if out.Input, err = c.show(s.Input, holes); err != nil {
		return out, err
	}
	s.Nodes(func(name string, v domain.Value) {
		b, e := c.show(v, holes)
		if e != nil {
			err = e
		}
		out.Nodes[name] = b
	})
	return out, err
}

// show masks v and loads its blobs; its secrets' holes are collected.
func (c Compute) show(v domain.Value, holes *[]domain.Hole) (json.RawMessage, error) {
	if len(v.Holes) == 0 {
		if v.JSON == nil {
			return json.RawMessage("null"), nil
		}
		return v.JSON, nil
	}
	if holes != nil {
		*holes = append(*holes, v.Holes...)
	}
	// Content-addressed files are read without a deadline: see the comment on Compute.
	return sealing.Mask(context.Background(), c.Blobs, v, math.MaxInt64)
}

// unmask turns strings that are exactly a mask of one of holes back into that hole.
func unmask(raw []byte, holes []domain.Hole) domain.Value {
	byFP := map[string]domain.Hole{}
	for _, h := range holes {
		if h.Sealed != "" {
			byFP[h.FP] = h
		}
	}
	if len(byFP) == 0 {
		return domain.Raw(raw)
	}
	v := domain.Value{}
	var edits []rawjson.Edit
	_ = rawjson.Walk(raw, domain.JSONDepthMax, func(p *rawjson.Path, kind rawjson.Kind, start, end int) bool {
		if kind != rawjson.String {
			return true
		}
		fp, ok := sealing.ParseMask(rawjson.Unquote(raw[start:end]))
		if h, known := byFP[fp]; ok && known {
			v.Holes = append(v.Holes, domain.Hole{At: p.Pointer(), Sealed: h.Sealed, FP: h.FP})
			edits = append(edits, rawjson.Edit{Start: start, End: end, New: []byte("null")})
		}
		return true
	})
	v.JSON = rawjson.Splice(raw, edits)
	return v
}
