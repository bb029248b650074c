package sealing_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands/sealing"
)

// A header such as "Bearer {{ input.token }}" needs the secret inside a longer text; nowhere else may
// a text that looks like a mask become a secret.
func TestFillMasks_OnlyInsideTextsUnderSecretKeys(t *testing.T) {
	secret := func(fp string) (string, bool) {
		return map[string]string{"a1b2c3d4": `s"1`, "00000000": "s2"}[fp], fp != "ffffffff"
	}
	for in, want := range map[string]string{
		`{"headers":{"Authorization":"Bearer ***a1b2c3d4"}}`:              `{"headers":{"Authorization":"Bearer s\"1"}}`,
		`{"token": "***a1b2c3d4:***00000000 ***"}`:                        `{"token": "s\"1:s2 ***"}`,
		`{"token":"x****a1b2c3d4"}`:                                       `{"token":"x*s\"1"}`,
		`{"token":"***a1b2c3d4"}`:                                         `{"token":"***a1b2c3d4"}`,
		`{"body":"x ***a1b2c3d4","n": 1e400}`:                             `{"body":"x ***a1b2c3d4","n": 1e400}`,
		`{"token":"x ***ffffffff ***a1b2c3d ***A1B2C3D4 ***"}`:            `{"token":"x ***ffffffff ***a1b2c3d ***A1B2C3D4 ***"}`,
		`{"from_elsewhere":{"token":"x ***a1b2c3d4"}}`:                    `{"from_elsewhere":{"token":"x ***a1b2c3d4"}}`,
		`{"max_tokens":"x ***a1b2c3d4","token":{"name":"x ***a1b2c3d4"}}`: `{"max_tokens":"x ***a1b2c3d4","token":{"name":"x ***a1b2c3d4"}}`,
	} {
		require.Equal(t, want, string(sealing.FillMasks([]byte(in), func(pointer string) bool { return pointer != "/from_elsewhere/token" }, secret)), in)
	}
}
