package sealing_test

import (
	"context"
	"encoding/json"
	"testing"

	"quipu/commands/sealing"
	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/infra/memory"
)

// Whatever arrives: no panic, refused exactly if rawjson refuses it, and restored byte for byte.
func FuzzSeal(f *testing.F) {
	for _, seed := range []string{
		`{"api_key":"abcdefgh","x":"abcdefgh ","abcdefghi":1}`, `{"token":{"input":"k"}}`, `[`, `{"token":{"a"`,
		`{"properties":{"token":{"type":"string"}}}`, `{"mapping":{"BODY_token":"x"}}`, `"\ud800"`, `{"secret":"\ud800\udc00"}`,
		`{"token":"Basic bWU6aHVudGVyMmh1bnRlcjI=","b":"***0123abcd%41\\u0041"}`, ` 1e400 `, `{"a":{"token":"***0123abcd"}}`,
	} {
		f.Add([]byte(seed), uint8(0))
		f.Add([]byte(seed), uint8(15))
	}
	f.Fuzz(func(t *testing.T, raw []byte, flags uint8) {
		ctx := context.Background()
		run := sealing.New("run-1", memory.NewVault(), memory.NewBlobs())
		if _, _, err := run.Seal(ctx, []byte(`{"password":"abcdefgh"}`), sealing.Options{}); err != nil {
			t.Fatal(err)
		}
		opts := sealing.Options{References: flags&1 > 0, Intake: flags&2 > 0, KeepMasks: flags&4 > 0}
		if flags&8 > 0 {
			opts.At = []string{"", "/a"}
		}
		sealing.FlowsIntoSecret(raw)
		v, _, err := run.Seal(ctx, raw, opts)
		if bad := rawjson.Check(raw, domain.JSONDepthMax) != nil; bad || err != nil {
			if bad != (domain.KindOf(err) == domain.KindInvalid && err != nil) && !(opts.Intake && err != nil) {
				t.Fatalf("bad JSON %v, error %v", bad, err)
			}
			return
		}
		back, err := run.Open(ctx, v)
		if err != nil || string(back) != string(raw) && !opts.KeepMasks {
			t.Fatalf("%q: opened %q, %v", raw, back, err)
		}
		masked, err := run.Mask(ctx, v, 1<<20)
		if err != nil || !json.Valid(masked) {
			t.Fatalf("%q: masked %q, %v", raw, masked, err)
		}
		run.Scrub(string(raw))
	})
}
