package commands

import (
	"errors"

	"quipu/commands/expression"
	"quipu/commands/node"
	"quipu/commands/sealing"
	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/run"
)

// faultOf says how the decider is to store what a pure node or a template failed with; nil and errors
// that say no more than a text stay as they are. What pure nodes see is masked, and so is what they say.
func faultOf(err error) error {
	var failure *node.Failure
	var template *expression.TemplateError
	out := &run.Fault{}
	switch {
	case errors.As(err, &failure):
		out.Type, out.Code, out.Message = failure.Type, failure.Code, failure.Message
		if d := failure.Details; rawjson.Check(d, domain.JSONDepthMax) == nil && rawjson.KindOf(d) == rawjson.Object {
			out.Details = domain.Raw(d)
		}
	case errors.As(err, &template):
		out.Message = template.Error()
		if template.Pointer != "" {
			out.Details = domain.Raw(append(rawjson.AppendString([]byte(`{"pointer":`), template.Pointer), '}'))
		}
	default:
		return err
	}
	out.Message = sealing.Unmarked(out.Message)
	if out.Details.JSON != nil {
		out.Details.JSON = []byte(sealing.Unmarked(string(out.Details.JSON)))
	}
	return out
}
