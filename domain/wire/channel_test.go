package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/channel"
	"quipu/domain/wire"
)

func TestEncodeChannelMessage_GoldenBytes(t *testing.T) {
	m := channel.Message{
		Channel: "orders/é",
		Payload: domain.Value{JSON: []byte(`{"n":1e400,"token":null}`), Holes: []domain.Hole{{At: "/token", Sealed: "s1", FP: "k7Qx"}}},
		Secrets: []domain.Secret{{ID: "s1", FP: "k7Qx", Ciphertext: "AAEC/+=="}},
	}
	typ, data := wire.EncodeChannelMessage(m)
	golden(t, typ+".golden.json", data)
	back, err := wire.DecodeChannelMessage(typ, data)
	require.NoError(t, err)
	require.Equal(t, m, back)
}

func TestDecodeChannelMessage_Refuses(t *testing.T) {
	_, err := wire.DecodeChannelMessage("channel.message.v2", []byte("{}"))
	require.ErrorIs(t, err, domain.ErrCorrupt)
	var coded *domain.Error
	require.ErrorAs(t, err, &coded)
	require.Equal(t, "UNKNOWN_EVENT", coded.Code)
	for _, bad := range []string{"", "null", `{"channel":1}`, `{"other":1}`, `{} {}`} {
		_, err := wire.DecodeChannelMessage(wire.ChannelMessage, []byte(bad))
		require.ErrorIs(t, err, domain.ErrCorrupt, bad)
	}
}
