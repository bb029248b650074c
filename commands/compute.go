package commands

import (
	"errors"
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
// passing a secret through a pure node neither shows nor loses it. Only masks that stood for a secret
// do: they carry marks that no data can hold (sealing.MaskMarked), since clients see masks, and one
// written into an input must not become the secret. A payload that became a blob is
// read back here: it is content-addressed, so the result is as deterministic as its name.
type Compute struct {
	Registry *node.Registry
	Blobs    Blobs
}

var _ run.Compute = Compute{}

// conditionalTypes are the types whose outgoing edges name a branch instead of holding an
// expression (contract D9).
var conditionalTypes = map[string]bool{"conditional": true, "gpt_conditional_block": true}

// approvalTypes are those whose outgoing edges say "approve" or "reject" (contract C.2).
var approvalTypes = map[string]bool{"approval": true, "approval_block": true}

// NamesBranch reports whether an edge's condition names a branch of its source and is not an
// expression.
func NamesBranch(function, condition string) bool {
	if approvalTypes[function] {
		return condition == "approve" || condition == "reject"
	}
	return conditionalTypes[function] && (condition == "true" || condition == "false")
}

// Node computes a pure node's output.
func (c Compute) Node(function string, input domain.Value, upstream []run.Upstream, scope run.Scope) (domain.Value, error) {
	typ, ok := c.Registry.Get(function)
	if !ok || typ.Compute == nil {
		return domain.Value{}, errors.New("this server has no pure function " + function)
	}
	see := sight{blobs: c.Blobs}
	see.learn(input)
	for _, u := range upstream {
		see.learn(u.Output)
	}
	see.learnScope(scope)
	call := node.Call{Function: function}
	var err error
	if call.Params, err = see.show(input); err != nil {
		return domain.Value{}, err
	}
	for _, u := range upstream {
		output, err := see.show(u.Output)
		if err != nil {
			return domain.Value{}, err
		}
		call.Upstream = append(call.Upstream, node.Upstream{Task: u.Task, Param: u.Param, Output: output, Skipped: u.Skipped})
	}
	shown, err := see.scope(scope)
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
	return see.unmask(reply.Output, false), nil
}

// Gate evaluates the condition of an edge.
func (c Compute) Gate(function, condition string, scope run.Scope) (bool, error) {
	if approvalTypes[function] && NamesBranch(function, condition) {
		action, _ := rawjson.Get(scope.Output.JSON, "/action")
		return condition == "approve" == (string(action) == `"`+run.Approved+`"`), nil
	}
	if NamesBranch(function, condition) {
		branch, _ := rawjson.Get(scope.Output.JSON, "/branch")
		return string(branch) == `"`+condition+`"`, nil
	}
	see := sight{blobs: c.Blobs}
	shown, err := see.scope(scope)
	if err != nil {
		return false, err
	}
	return expression.Truth(condition, shown)
}

// Await tells what a task waits for.
func (c Compute) Await(function string, input domain.Value, at time.Time) (run.Wait, error) {
	typ, ok := c.Registry.Get(function)
	if !ok || typ.Await == nil {
		return run.Wait{}, errors.New("this server has nothing to wait for in " + function)
	}
	see := sight{blobs: c.Blobs}
	see.learn(input)
	params, err := see.show(input)
	if err != nil {
		return run.Wait{}, err
	}
	w, err := typ.Await(node.Call{Function: function, Params: params}, at)
	if err != nil {
		return run.Wait{}, faultOf(err)
	}
	out := run.Wait{Channel: w.Channel, Due: w.Due}
	if w.Request != nil {
		if err := rawjson.Check(w.Request, domain.JSONDepthMax); err != nil {
			return run.Wait{}, err
		}
		out.Request = see.unmask(w.Request, false)
	}
	return out, nil
}

// Due tells until when a timer waits.
func (c Compute) Due(function string, input domain.Value, at time.Time) (time.Time, error) {
	typ, ok := c.Registry.Get(function)
	if !ok || typ.Due == nil {
		return time.Time{}, errors.New("this server has no timer " + function)
	}
	see := sight{blobs: c.Blobs}
	params, err := see.show(input)
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
// secret again. Within a longer text a mask stays a mask; a node gets the secret in its place under a
// secret key (fillMasks), where masks that were mere text have been spoilt (sealing.SettleMasks).
func (c Compute) Render(params domain.Value, scope run.Scope) (domain.Value, error) {
	t, err := expression.ParseTemplates(params.JSON)
	if err != nil || t == nil {
		return params, faultOf(err)
	}
	if !t.Reads("nodes") {
		scope.Nodes = func(func(string, domain.Value)) {}
	}
	see := sight{blobs: c.Blobs}
	see.learnScope(scope)
	shown, err := see.scope(scope)
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
		v := see.unmask(p.JSON, true)
		edits[i] = rawjson.Edit{Start: p.Start, End: p.End, New: v.JSON}
		for _, h := range v.Holes {
			h.At = p.Pointer + h.At
			out.Holes = append(out.Holes, h)
		}
	}
	out.JSON = sealing.SettleMasks(rawjson.Splice(params.JSON, edits))
	if err := rawjson.Check(out.JSON, domain.JSONDepthMax); err != nil {
		return domain.Value{}, err
	}
	return out, nil
}
