package commands

import (
	"context"
	"strconv"
	"strings"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// maskAt tells where a mask in a new graph may stand for a secret though no key there says so: where
// the stored graph has that secret. Somebody who can change a workflow reads its masks, not its
// secrets; moved into a URL or a prompt, a mask would have the secret sent there.
//
// A node is known by its id, so that nodes may change places.
func (d *Definitions) maskAt(ctx context.Context, stored domain.Value, graph []byte) (func(pointer, fp string) bool, error) {
	stored, err := loadBlobs(ctx, d.deps.Blobs, stored)
	if err != nil {
		return nil, err
	}
	type place struct{ at, fp string }
	before, now := placesByID(stored.JSON), placesByID(graph)
	had := map[place]bool{}
	for _, h := range stored.Holes {
		had[place{before(h.At), h.FP}] = true
	}
	return func(pointer, fp string) bool { return had[place{now(pointer), fp}] }, nil
}

// placesByID puts the id of a node in the place of its index in pointers into a graph.
func placesByID(graph []byte) func(pointer string) string {
	var nodes [][]byte
	return func(pointer string) string {
		rest, ok := strings.CutPrefix(pointer, "/nodes/")
		if !ok {
			return pointer
		}
		if nodes == nil {
			raw, _ := rawjson.Get(graph, "/nodes")
			nodes = rawjson.Items(raw)
		}
		index, rest, _ := strings.Cut(rest, "/")
		i, err := strconv.Atoi(index)
		if err != nil || i < 0 || i >= len(nodes) {
			return pointer
		}
		raw, found := rawjson.Get(nodes[i], "/id")
		if !found || rawjson.KindOf(raw) != rawjson.String {
			return pointer
		}
		return "/nodes/" + rawjson.EscapeKey(rawjson.Unquote(raw)) + "/" + rest
	}
}
