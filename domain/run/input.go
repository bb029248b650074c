package run

import (
	"quipu/domain"
	"quipu/domain/workflow"
)

// input is the parameter object task i starts with. Templates are evaluated in what the definition
// says itself, never in what a reference leads to: data is not read as a program. If they cannot be
// evaluated, it is what stands in the definition, with the reason.
func (d *decider) input(i int) (domain.Value, error) {
	s := d.state
	if !s.Graph.Nodes[i].Templates {
		return s.resolve(i), nil
	}
	refs := s.Graph.Refs[i]
	rendered, err := d.compute.Render(s.Written(i), d.sourceScope(i))
	if err != nil {
		return s.resolve(i), err
	}
	members := rendered.Members()
	var o domain.Object
	for _, r := range refs {
		if r.Kind == workflow.RefDirect || r.Kind == workflow.RefValue {
			o.Add(r.Param, members[0].Value)
			members = members[1:]
		} else {
			o.Add(r.Param, s.resolveRef(r))
		}
	}
	return o.Value(), nil
}

// Written is what the parameters of task i say themselves, without its references: the object whose
// templates are evaluated. Its members stand at the same places in the task's input.
func (s *State) Written(i int) domain.Value {
	var o domain.Object
	for _, r := range s.Graph.Refs[i] {
		if r.Kind == workflow.RefDirect || r.Kind == workflow.RefValue {
			o.Add(r.Param, r.Value)
		}
	}
	return o.Value()
}

// sourceScope is what expressions of task i itself see: the output of the first task before it that
// was not skipped is their source's; for a first task with templates it is the run's input.
func (d *decider) sourceScope(i int) Scope {
	scope := d.scope(i, domain.Value{})
	upstream := d.state.Upstream(i)
	for _, u := range upstream {
		if !u.Skipped {
			scope.Output = u.Output
			return scope
		}
	}
	if len(upstream) == 0 && d.state.Graph.Nodes[i].Templates {
		scope.Output = d.state.Input
	}
	return scope
}
