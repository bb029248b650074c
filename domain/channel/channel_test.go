package channel_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain/channel"
)

// Stored logs hold these ids.
func TestStream_IsFixed(t *testing.T) {
	require.EqualValues(t, "channel-01ba4719c80b6fe911b091a7c05124b6", channel.Stream("\n"))
	require.EqualValues(t, channel.Stream("orders"), channel.Stream("orders"))
	require.NotEqual(t, channel.Stream("orders"), channel.Stream("Orders"))
}
