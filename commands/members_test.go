package commands_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands"
)

// Every process must say the same for ever: the hash is part of what nodes of different versions share.
func TestOwner_Golden(t *testing.T) {
	nodes := []string{"a", "b", "c"}
	owners := ""
	for i := range 24 {
		owners += commands.Owner(nodes, fmt.Sprintf("run-%d", i))
	}
	require.Equal(t, "bcbbbababbbccbbababaccbc", owners)
	require.Empty(t, commands.Owner(nil, "x"))
	require.Equal(t, "a", commands.Owner(nodes[:1], "x"))
}

// A node that goes moves only what was its own, and the rest is shared evenly.
func TestOwner_MovesLittle(t *testing.T) {
	nodes := []string{"n1", "n2", "n3", "n4"}
	count := map[string]int{}
	for i := range 4000 {
		id := fmt.Sprintf("run-%d", i)
		before := commands.Owner(nodes, id)
		count[before]++
		if after := commands.Owner(nodes[:3], id); before != "n4" {
			require.Equal(t, before, after)
		}
	}
	for _, n := range nodes {
		require.InDelta(t, 1000, count[n], 150, n)
	}
}
