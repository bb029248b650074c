package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/endpoint"
	"quipu/domain/wire"
)

func TestEncodeEndpointCreated_GoldenBytes(t *testing.T) {
	created := endpoint.Created{ID: "coffee-shop-e66b8d23", Slug: "coffee-shop", KeyHash: endpoint.HashKey("key")}
	typ, data := wire.EncodeEndpointCreated(created)
	require.Equal(t, "endpoint.created.v1", typ)
	golden(t, typ+".golden.json", data)
	back, err := wire.DecodeEndpointCreated(typ, data)
	require.NoError(t, err)
	require.Equal(t, created, back)
}

func TestDecodeEndpointCreated_Refuses(t *testing.T) {
	_, err := wire.DecodeEndpointCreated("endpoint.created.v2", []byte("{}"))
	require.ErrorIs(t, err, domain.ErrCorrupt)
	var coded *domain.Error
	require.ErrorAs(t, err, &coded)
	require.Equal(t, "UNKNOWN_EVENT", coded.Code)
	for _, bad := range []string{"", "null", `{"slug":1}`, `{"other":1}`, `{} {}`} {
		_, err := wire.DecodeEndpointCreated(wire.EndpointCreated, []byte(bad))
		require.ErrorIs(t, err, domain.ErrCorrupt, bad)
	}
}
