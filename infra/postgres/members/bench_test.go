package members_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/infra/postgres/pgtest"
)

// A node connects, joins, and another one has seen it, by notification.
func BenchmarkJoinSeenByOthers(b *testing.B) {
	url := pgtest.URL(b)
	a := join(b, url, options("a"))
	awaitAlive(b, a, 10*ttl, "a")
	for b.Loop() {
		_, changed := a.Live()
		other := join(b, url, options("b"))
		<-changed
		b.StopTimer()
		_, changed = a.Live()
		require.NoError(b, other.Leave(b.Context()))
		<-changed
		b.StartTimer()
	}
}
