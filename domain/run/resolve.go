package run

import (
	"quipu/domain"
	"quipu/domain/workflow"
)

// resolve builds the parameter object a task starts with (contract S0-13, Part 2 A.2): references
// replaced by what they name, everything else as written. A skipped dependency gives null.
func (s *State) resolve(i int) domain.Value {
	refs := s.Graph.Refs[i]
	if len(refs) == 0 {
		return domain.Raw([]byte("{}"))
	}
	if allDirect(refs) {
		return tidy(s.Graph.Nodes[i].Params)
	}
	var o domain.Object
	for _, r := range refs {
		o.Add(r.Param, s.resolveRef(r))
	}
	return o.Value()
}

func allDirect(refs []workflow.Ref) bool {
	for _, r := range refs {
		if r.Kind != workflow.RefDirect {
			return false
		}
	}
	return true
}

func (s *State) resolveRef(r workflow.Ref) domain.Value {
	switch r.Kind {
	case workflow.RefInput:
		if v, ok := s.inputs[r.Name]; ok {
			return v
		}
		return domain.Null()
	case workflow.RefDepends:
		return s.outputOf(r.Name)
	case workflow.RefMapping:
		var o domain.Object
		for _, m := range r.Value.Members() {
			if m.Key != "output" {
				o.Add(m.Key, m.Value)
			}
		}
		o.Add("output", s.outputOf(r.Name))
		return o.Value()
	default:
		return r.Value
	}
}

func (s *State) outputOf(task string) domain.Value {
	i, ok := s.Graph.Index(task)
	if !ok {
		return domain.Null()
	}
	if t := s.Task(i); t.Phase == TaskCompletedPhase {
		return t.Output
	}
	return domain.Null()
}

// Upstream lists the outputs that task i depends on, in the order of its params. A task with
// templates whose params name no task gets the sources of the edges that enter it instead, in the
// order of the edges, each once, with Param "".
func (s *State) Upstream(i int) []Upstream {
	var out []Upstream
	for _, r := range s.Graph.Refs[i] {
		if r.Kind != workflow.RefDepends && r.Kind != workflow.RefMapping {
			continue
		}
		if from, ok := s.Graph.Index(r.Name); ok {
			out = append(out, s.upstream(from, r.Param))
		}
	}
	if len(out) > 0 {
		return out
	}
	var seen map[int]bool
	for _, e := range s.Graph.EdgesIn(i) {
		from, ok := s.Graph.Index(s.Graph.Edges[e].Source)
		if !ok || seen[from] {
			continue
		}
		if seen == nil {
			seen = make(map[int]bool)
		}
		seen[from] = true
		out = append(out, s.upstream(from, ""))
	}
	return out
}

func (s *State) upstream(from int, param string) Upstream {
	name := s.Graph.Nodes[from].Name
	return Upstream{Task: name, Param: param, Output: s.outputOf(name), Skipped: s.Task(from).Phase == TaskSkippedPhase}
}
