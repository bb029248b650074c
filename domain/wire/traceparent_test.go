package wire_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/wire"
)

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestTraceparent_InvalidOnesAreNone(t *testing.T) {
	require.Equal(t, traceparent, wire.Traceparent(traceparent))
	for _, s := range []string{
		"", "00", traceparent + "0", traceparent[:54],
		strings.ToUpper(traceparent),
		"ff" + traceparent[2:],
		"00-" + strings.Repeat("0", 32) + traceparent[35:],
		traceparent[:36] + strings.Repeat("0", 16) + "-01",
		strings.Replace(traceparent, "0af7", "0a-7", 1),
		strings.Replace(traceparent, "0af7", "0ag7", 1),
		traceparent[:35] + "_" + traceparent[36:],
	} {
		require.Empty(t, wire.Traceparent(s), s)
	}
}

// The fast look finds what decoding finds, whatever people write into the other fields.
func TestDecodeTraceparent_EqualsTheMetadata(t *testing.T) {
	for _, id := range []string{"ci", `"traceparent":"` + traceparent + `"`, `\"traceparent\":\"`, "\x00"} {
		for _, trace := range []string{"", traceparent} {
			cause := wire.Cause{Actor: wire.Actor{Kind: wire.ActorKey, ID: id, Via: "api"}, CommandID: id, CorrelationID: id, CausationID: id, Traceparent: trace}
			pending, _ := wire.Seal(domain.StreamID("run-1"), wire.NewHead(), time.Unix(0, 0), cause, "run.started.v1", []byte(`{}`))
			m, err := wire.DecodeMetadata(pending.Metadata)
			require.NoError(t, err)
			require.Equal(t, m.Traceparent, wire.DecodeTraceparent(pending.Metadata))
			require.Equal(t, trace, m.Traceparent)
		}
	}
	require.Empty(t, wire.DecodeTraceparent([]byte(`{"traceparent":"00-`)))
	require.Empty(t, wire.DecodeTraceparent(nil))
}
