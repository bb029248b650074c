package rawjson

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClip(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		"Grüße":                        "Grüße",
		strings.Repeat("x", 64):        strings.Repeat("x", 64),
		strings.Repeat("x", 65):        strings.Repeat("x", 64) + "…",
		strings.Repeat("x", 63) + "üü": strings.Repeat("x", 63) + "…",
		"a\xffb":                       "a\ufffdb",
	} {
		require.Equal(t, want, Clip(in))
	}
}
