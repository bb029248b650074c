package embedded

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Written as fast as the disk takes it, the next segment stands in the way of commits; held back
// too far, a commit waits for it.
func TestPace_FollowsTheActiveSegment(t *testing.T) {
	var p pace
	p.start(0)
	p.begin(16<<20, 64<<20)
	require.True(t, p.wait(0))
	went := make(chan bool, 1)
	go func() { went <- p.wait(paceAhead) }()
	select {
	case <-went:
		t.Fatal("prepared ahead of its pace")
	default:
	}
	p.used(1)
	require.True(t, <-went)
	p.used(8 << 20)
	require.True(t, p.wait(64<<20), "the active one is half full: all may be prepared")
	p.begin(64<<20, 64<<20)
	p.used(0)
	go func() { went <- p.wait(64 << 20) }()
	p.hurry(true)
	require.True(t, <-went, "a commit waits for it")
	p.hurry(false)
	go func() { went <- p.wait(64 << 20) }()
	p.stop()
	require.False(t, <-went)
}
