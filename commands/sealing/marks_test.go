package sealing_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quipu/commands/sealing"
	"quipu/domain"
	"quipu/infra/memory"
)

const begin, end = "\ufdd0", "\ufdd1"

func TestParseMarked(t *testing.T) {
	fp, ok := sealing.ParseMarked(begin + "***a1b2c3d4" + end)
	require.True(t, ok)
	require.Equal(t, "a1b2c3d4", fp)
	for _, s := range []string{"", "***a1b2c3d4", begin + "***a1b2c3d4", "***a1b2c3d4" + end, begin + "***a1b2c3d" + end, begin + end, end + "***a1b2c3d4" + begin, " " + begin + "***a1b2c3d4" + end} {
		_, ok := sealing.ParseMarked(s)
		require.False(t, ok, "%q", s)
	}
}

// A value shows marks only around its secrets, whatever a client put beside them.
func TestMaskMarked_MarksAreOfSecretsAlone(t *testing.T) {
	blobs := memory.NewBlobs()
	blob, err := blobs.Put(t.Context(), []byte(`{"k":null,"x":"`+begin+`"}`))
	require.NoError(t, err)
	at := func(p string) []domain.Hole { return []domain.Hole{{At: p, Sealed: "s1", FP: "a1b2c3d4"}} }
	for _, c := range []struct {
		v    domain.Value
		want string
	}{
		{domain.Value{JSON: []byte(`{"k":null,"x":"***a1b2c3d4"}`), Holes: at("/k")}, `{"k":"` + begin + `***a1b2c3d4` + end + `","x":"***a1b2c3d4"}`},
		{domain.Value{JSON: []byte(`{"k":null,"x":"` + begin + `***a1b2c3d4` + end + `"}`), Holes: at("/k")}, `{"k":"***a1b2c3d4","x":"` + "\ufffd***a1b2c3d4\ufffd" + `"}`},
		{domain.Value{JSON: []byte(`{"k":null,"x":"\ufDD0***a1b2c3d4\uFdd1"}`), Holes: at("/k")}, `{"k":"***a1b2c3d4","x":"\ufffd***a1b2c3d4\ufffd"}`},
		{domain.Value{JSON: []byte(`{"k":null,"` + begin + `":1}`), Holes: at("/k")}, `{"k":"***a1b2c3d4","` + "\ufffd" + `":1}`},
		{domain.Value{JSON: []byte(`null`), Holes: append([]domain.Hole{{Blob: blob, Bytes: 17}}, at("/k")...)}, `{"k":"***a1b2c3d4","x":"` + "\ufffd" + `"}`},
	} {
		got, err := sealing.MaskMarked(t.Context(), blobs, c.v)
		require.NoError(t, err)
		require.Equal(t, c.want, string(got))
	}
	_, err = sealing.MaskMarked(t.Context(), blobs, domain.Value{JSON: []byte(`null`), Holes: []domain.Hole{{Blob: strings.Repeat("0", 64), Bytes: 1}}})
	require.Error(t, err)
}

func TestSettleMasks(t *testing.T) {
	real := begin + "***a1b2c3d4" + end
	for in, want := range map[string]string{
		"Bearer " + real:                                      "Bearer ***a1b2c3d4",
		"Bearer ***a1b2c3d4":                                  "Bearer ***?a1b2c3d4",
		real + ":" + "x ***00000000 y":                        "***a1b2c3d4:x ***?00000000 y",
		"x ***" + begin + "a1b2c3d4":                          "x ***?a1b2c3d4",
		"x ***a1b2" + end + "c3d4":                            "x ***?a1b2c3d4",
		begin + begin + "***a1b2c3d4" + end + " ****a1b2c3d4": "***a1b2c3d4 ****?a1b2c3d4",
		"***a1b2c3d4":                                         "***a1b2c3d4", // FillMasks passes it over
		"*** a1b2c3d4":                                        "*** a1b2c3d4",
		begin + "x":                                           "x",
	} {
		b, _ := json.Marshal(map[string]any{"token": in, "text": in})
		var got map[string]string
		require.NoError(t, json.Unmarshal(sealing.SettleMasks(b), &got))
		require.Equal(t, want, got["token"], "%q", in)
		require.Equal(t, strings.NewReplacer(begin, "", end, "").Replace(in), got["text"], "%q", in)
	}
}

// Whatever stands around them, after settling the masks in a text are those that had marks.
func TestSettleMasks_OnlyMarkedOnesRemain(t *testing.T) {
	mask := regexp.MustCompile(`\*\*\*[0-9a-f]{8}`)
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.SampledFrom([]string{"*", "**", "***", "a1b2", "c3d4", "***a1b2c3d4", end, "x", "REAL"}), 2, 14).Draw(t, "parts")
		text, real := "x", 0
		for _, p := range parts {
			if p == "REAL" {
				real++
				p = begin + "***0" + "1234567" + end
			}
			text += p
		}
		b, _ := json.Marshal(map[string]string{"token": text})
		var got map[string]string
		require.NoError(t, json.Unmarshal(sealing.SettleMasks(b), &got))
		found := mask.FindAllString(got["token"], -1)
		require.Len(t, found, real, "%q", got["token"])
		for _, f := range found {
			require.Equal(t, "***01234567", f)
		}
		require.False(t, sealing.HasMarks(got["token"]))
	})
}
