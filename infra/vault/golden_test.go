package vault

import (
	"encoding/hex"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	goldenFingerprint = "e0190b06"
	goldenMasterID    = "eb7c74fdb468934b"
	goldenWrapped     = "eb7c74fdb468934b01af083746c9489ba3a308069450690854bd96da2bb42f425a0f5527e9f04a1c78a9b4c38a0fd9254c6806ab478f0ff6f536bdfc6a56a05354ecf53d0a"
	goldenCiphertext  = "013a34b7a59dab355bfc5f0464c1d645181e5a8137c06f81246e865ced0cbc5fe518af2a96"
)

func fromHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// Bounds for conditions that are waited for.
const (
	deadline = 10 * time.Second
	tick     = time.Millisecond
)

type counter struct{ n atomic.Int64 }

func (c *counter) next() int64 { return c.n.Add(1) }
