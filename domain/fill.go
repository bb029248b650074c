package domain

import (
	"strconv"
	"strings"

	"quipu/domain/rawjson"
)

// Fill returns v's JSON with each hole's null replaced by what fill returns for it (checked
// JSON). Blobs are filled first, since the holes of secrets inside a blob point into its content.
// Errors: whatever fill returns; ErrCorrupt if a hole's place does not exist.
func (v Value) Fill(fill func(Hole) ([]byte, error)) ([]byte, error) {
	if len(v.Holes) == 0 {
		return v.JSON, nil
	}
	root := plant(v.Holes)
	doc := v.JSON
	// A blob may hold the places of further blobs, so passes go on while they find any.
	for left := len(v.Holes); left > 0; {
		next, filled, err := fillPass(doc, root, left, fill)
		if err != nil {
			return nil, err
		}
		if filled == 0 {
			return nil, E(KindCorrupt, "fill value", "", strconv.Itoa(left)+" holes have no place in the JSON")
		}
		doc, left = next, left-filled
	}
	return doc, nil
}

// place is one value on the way to a hole, by the tokens of the holes' pointers. Descending a tree
// beside the document keeps filling linear; comparing whole pointers is not, once keys are long.
type place struct {
	holes []Hole // still to be filled here, blobs first
	kids  map[string]*place
}

func plant(holes []Hole) *place {
	root := &place{}
	for _, blobs := range []bool{true, false} {
		for _, h := range holes {
			if blobs == (h.Blob != "") {
				p := root.at(h.At)
				p.holes = append(p.holes, h)
			}
		}
	}
	return root
}

func (p *place) at(pointer string) *place {
	if pointer == "" {
		return p
	}
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		kid := p.kids[token]
		if kid == nil {
			if p.kids == nil {
				p.kids = make(map[string]*place)
			}
			kid = &place{}
			p.kids[token] = kid
		}
		p = kid
	}
	return p
}

// fillPass fills the holes whose place is in doc and takes them out of root; left is how many
// remain in all.
func fillPass(doc []byte, root *place, left int, fill func(Hole) ([]byte, error)) ([]byte, int, error) {
	var edits []rawjson.Edit
	var failed error
	var way []*place // the place of each value from the root down to the one visited, nil if none
	err := rawjson.Walk(doc, JSONDepthMax*4, func(p *rawjson.Path, kind rawjson.Kind, start, end int) bool {
		here := root
		if d := p.Depth(); d > 0 {
			way = way[:d]
			if here = way[d-1]; here != nil && here.kids != nil {
				here = here.kids[p.Token()]
			} else {
				here = nil
			}
		}
		way = append(way, here)
		if kind != rawjson.Null || here == nil || len(here.holes) == 0 {
			return true
		}
		var b []byte
		if b, failed = fill(here.holes[0]); failed != nil {
			return false
		}
		here.holes = here.holes[1:]
		edits = append(edits, rawjson.Edit{Start: start, End: end, New: b})
		return len(edits) < left
	})
	switch {
	case failed != nil:
		return nil, 0, failed
	case err != nil:
		return nil, 0, Wrap(KindCorrupt, "fill value", "", err)
	}
	return rawjson.Splice(doc, edits), len(edits), nil
}
