package commands

import (
	"context"
	"encoding/json"
	"math"

	"quipu/commands/node"
	"quipu/commands/sealing"
	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/run"
)

// sight is what one computation sees of its run. Learn of all values before the first is shown: whether
// masks carry marks depends on there being a secret.
type sight struct {
	blobs   Blobs
	secrets map[string]domain.Hole // by fingerprint; those of which masks come back as holes
}

func (s *sight) learn(v domain.Value) {
	for _, h := range v.Holes {
		if h.Sealed == "" {
			continue
		}
		if s.secrets == nil {
			s.secrets = map[string]domain.Hole{}
		}
		s.secrets[h.FP] = domain.Hole{Sealed: h.Sealed, FP: h.FP}
	}
}

func (s *sight) learnScope(scope run.Scope) {
	s.learn(scope.Output)
	s.learn(scope.Input)
	scope.Nodes(func(_ string, v domain.Value) { s.learn(v) })
}

func (s *sight) scope(scope run.Scope) (node.Scope, error) {
	out := node.Scope{Nodes: map[string]json.RawMessage{}}
	var err error
	if out.Output, err = s.show(scope.Output); err != nil {
		return out, err
	}
	if out.Input, err = s.show(scope.Input); err != nil {
		return out, err
	}
	scope.Nodes(func(name string, v domain.Value) {
		b, e := s.show(v)
		if e != nil {
			err = e
		}
		out.Nodes[name] = b
	})
	return out, err
}

// show masks v and loads its blobs. Without a secret to give back nothing needs marks, and data is
// shown byte for byte.
func (s *sight) show(v domain.Value) (json.RawMessage, error) {
	// Content-addressed files are read without a deadline: see the comment on Compute.
	ctx := context.Background()
	switch {
	case v.JSON == nil:
		return json.RawMessage("null"), nil
	case len(s.secrets) > 0 && len(v.Holes) > 0:
		return sealing.MaskMarked(ctx, s.blobs, v)
	case len(s.secrets) > 0:
		return sealing.Unmarkable(v.JSON), nil
	case len(v.Holes) > 0:
		return sealing.Mask(ctx, s.blobs, v, math.MaxInt64)
	}
	return v.JSON, nil
}

// unmask turns strings of a result that are exactly the mask of a secret into that secret's hole, and
// removes the marks from the rest; not from other strings if keep is set: SettleMasks does.
func (s *sight) unmask(raw []byte, keep bool) domain.Value {
	if len(s.secrets) == 0 {
		return domain.Raw(raw)
	}
	v := domain.Value{}
	var edits []rawjson.Edit
	_ = rawjson.Walk(raw, domain.JSONDepthMax, func(p *rawjson.Path, kind rawjson.Kind, start, end int) bool {
		if key, ok := p.Key(); ok && sealing.HasMarks(key) {
			keep = false // a name cannot be put right later; a secret is no good as one anyway
		}
		if kind != rawjson.String {
			return true
		}
		fp, ok := sealing.ParseMarked(rawjson.Unquote(raw[start:end]))
		if h, known := s.secrets[fp]; ok && known {
			h.At = sealing.Unmarked(p.Pointer())
			v.Holes = append(v.Holes, h)
			edits = append(edits, rawjson.Edit{Start: start, End: end, New: []byte("null")})
		}
		return true
	})
	v.JSON = rawjson.Splice(raw, edits)
	if !keep {
		v.JSON = []byte(sealing.Unmarked(string(v.JSON)))
	}
	return v
}
