package sealing_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands/sealing"
	"quipu/domain"
	"quipu/infra/memory"
)

const key = "sk-proj-51H8xYabcDEF" // a planted secret

type session struct {
	*sealing.Run
	vault *memory.Vault
	blobs *memory.Blobs
}

func newSession() session {
	v, b := memory.NewVault(), memory.NewBlobs()
	return session{sealing.New("run-1", v, b), v, b}
}

func (s session) mask(t *testing.T, v domain.Value) string {
	t.Helper()
	b, err := s.Mask(context.Background(), v, 1<<20)
	require.NoError(t, err)
	return string(b)
}

// Masks carry a random key's fingerprint; tables show them as ***.
func (s session) shape(t *testing.T, v domain.Value) string {
	t.Helper()
	out := s.mask(t, v)
	for _, h := range v.Holes {
		if h.Sealed != "" {
			out = strings.ReplaceAll(out, sealing.MaskOf(h.FP), "***")
		}
	}
	return out
}

func TestSeal_WhatIsSealed(t *testing.T) {
	for name, c := range map[string]struct {
		opts     sealing.Options
		in, want string
	}{
		"nothing":                   {in: ` {"a":1e400, "b":[true,null,"x"]} `, want: ` {"a":1e400, "b":[true,null,"x"]} `},
		"string":                    {in: `{"api_key":"abc"}`, want: `{"api_key":"***"}`},
		"empty and other kinds":     {in: `{"token":"","password":12345678,"secret":null,"cookie":true}`, want: `{"token":"","password":12345678,"secret":null,"cookie":true}`},
		"array":                     {in: `{"tokens":["a"],"api_keys":["x","y",3]}`, want: `{"tokens":["a"],"api_keys":["***","***",3]}`},
		"value object":              {in: `{"api_key":{"value":"abc"}}`, want: `{"api_key":{"value":"***"}}`},
		"deep below a key":          {in: `{"credentials":{"aws":{"id":"i","n":[{"s":"t"}]}}}`, want: `{"credentials":{"aws":{"id":"***","n":[{"s":"***"}]}}}`},
		"describing members":        {in: `{"authorization":{"type":"basic","password":"p"}}`, want: `{"authorization":{"type":"basic","password":"***"}}`},
		"headers":                   {in: `{"headers":{"X-Api-Key":"abc","Accept":"*/*"}}`, want: `{"headers":{"X-Api-Key":"***","Accept":"*/*"}}`},
		"schema":                    {in: `{"properties":{"token":{"description":"The token","type":"string","default":"x1","maxLength":3}}}`, want: `{"properties":{"token":{"description":"The token","type":"string","default":"***","maxLength":3}}}`},
		"properties without schema": {in: `{"properties":{"token":{"a":"x1"}}}`, want: `{"properties":{"token":{"a":"***"}}}`},
		"equal elsewhere":           {in: `{"x":"abc","api_key":"abc","y":["abc","abcd"]}`, want: `{"x":"***","api_key":"***","y":["***","abcd"]}`},
		"held elsewhere":            {in: `{"api_key":"` + key + `","log":"used ` + key + `!"}`, want: `{"api_key":"***","log":"***"}`},
		"bare token":                {in: `{"authorization":"Bearer ` + key + `","x":"` + key + `","y":"<` + key + `>"}`, want: `{"authorization":"***","x":"***","y":"***"}`},
		"basic":                     {in: `{"authorization":"Basic ` + base64.StdEncoding.EncodeToString([]byte("me:hunter2hunter2")) + `","x":"hunter2hunter2"}`, want: `{"authorization":"***","x":"***"}`},
		"placeholder":               {in: `{"api_key":"YOUR_API_KEY","help":"set YOUR_API_KEY","password":"password"}`, want: `{"api_key":"***","help":"set YOUR_API_KEY","password":"***"}`},
		"reference is a value":      {in: `{"token":{"input":"k"}}`, want: `{"token":{"input":"***"}}`},
		"reference": {opts: sealing.Options{References: true},
			in:   `{"token":{"input":"k"},"api_key":{"depends":"t"},"secret":{"input":"k","x":"y"}}`,
			want: `{"token":{"input":"k"},"api_key":{"depends":"t"},"secret":{"input":"***","x":"***"}}`},
		"mapping": {opts: sealing.Options{References: true},
			in:   `{"config":{"depends":"t","default":{"headers":{"Authorization":"abc"},"QUERY_token":"q1"},"mapping":{"HEADER_Authorization":"data.token"}}}`,
			want: `{"config":{"depends":"t","default":{"headers":{"Authorization":"***"},"QUERY_token":"***"},"mapping":{"HEADER_Authorization":"data.token"}}}`},
		"at":             {opts: sealing.Options{At: []string{"/k", "/none"}}, in: `{"k":"abc","l":"m"}`, want: `{"k":"***","l":"m"}`},
		"at whole":       {opts: sealing.Options{At: []string{""}}, in: ` "abc" `, want: ` "***" `},
		"at below":       {opts: sealing.Options{At: []string{""}}, in: `{"type":"abc","n":1}`, want: `{"type":"***","n":1}`},
		"secret in key":  {in: `{"token":"` + key + `","m":{"a":"b","k-` + key + `":{"c":1}},"z":"q"}`, want: `{"token":"***","m":"***","z":"q"}`},
		"key at the top": {in: `{"token":"` + key + `","` + key + `":1}`, want: `"***"`},
		"a mask":         {in: `{"token":"***0123abcd"}`, want: `{"token":"***0123abcd"}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSession()
			v, secrets, err := s.Seal(context.Background(), []byte(c.in), c.opts)
			require.NoError(t, err)
			require.Equal(t, c.want, s.shape(t, v))
			back, err := s.Open(context.Background(), v)
			require.NoError(t, err)
			require.Equal(t, c.in, string(back))
			ids := make(map[string]bool)
			for i, sec := range secrets {
				require.Equal(t, fmt.Sprintf("s%d", i+1), sec.ID)
				ids[sec.ID] = true
			}
			for _, h := range v.Holes {
				require.True(t, ids[h.Sealed], "each hole's ciphertext is handed out with the value")
			}
		})
	}
}

// Byte for byte: secrets keep their spelling; equal literals share an id, equal texts a fingerprint.
func TestSeal_IdsInOrderOfAppearance(t *testing.T) {
	s := newSession()
	v, secrets, err := s.Seal(context.Background(), []byte(`{"token":"abcdefgh","b":{"secret":"\u0061bcdefgh","password":"abcdefgh"}}`), sealing.Options{})
	require.NoError(t, err)
	require.Len(t, secrets, 2)
	require.Equal(t, []domain.Hole{
		{At: "/token", Sealed: "s1", FP: secrets[0].FP},
		{At: "/b/secret", Sealed: "s2", FP: secrets[0].FP},
		{At: "/b/password", Sealed: "s1", FP: secrets[0].FP},
	}, v.Holes)
	require.Equal(t, `{"token":null,"b":{"secret":null,"password":null}}`, string(v.JSON))
}

// One event's payloads reveal each other's secrets, whatever their order.
func TestSealAll_SecretOfALaterPart(t *testing.T) {
	s := newSession()
	vs, secrets, err := s.SealAll(context.Background(),
		sealing.Part{Raw: []byte(`{"note":"key is ` + key + `"}`)}, sealing.Part{Raw: []byte(`{"api_key":"` + key + `"}`)})
	require.NoError(t, err)
	require.Len(t, secrets, 2)
	require.Equal(t, `{"note":null}`, string(vs[0].JSON))
	require.Equal(t, `{"api_key":null}`, string(vs[1].JSON))
}

// Every encoding of a known secret inside a longer string is found, at every base64 alignment.
func TestSeal_KnownSecretInEncodings(t *testing.T) {
	for _, secret := range []string{key, `p"a\ss/w+ö rd%41&`, "12345678", "line one\nline two"} {
		s := newSession()
		in, err := jsonMarshal(map[string]string{"password": secret})
		require.NoError(t, err)
		_, _, err = s.Seal(context.Background(), in, sealing.Options{})
		require.NoError(t, err)
		for name, encoded := range encodings(secret) {
			for _, around := range [][2]string{{"", ""}, {"<", ">"}, {"é: ", " \\ 100% +"}} {
				text := around[0] + encoded + around[1]
				in, err := jsonMarshal(map[string]any{"log": text})
				require.NoError(t, err)
				v, _, err := s.Seal(context.Background(), in, sealing.Options{})
				require.NoError(t, err)
				require.Equal(t, `{"log":null}`, string(v.JSON), "%s of %q in %q", name, secret, text)
				scrubbed := s.Scrub(text)
				require.NotContains(t, scrubbed, encoded, name)
				require.Contains(t, scrubbed, sealing.MaskPrefix, name)
			}
		}
		require.Equal(t, "nothing of that", s.Scrub("nothing of that"))
	}
}

func encodings(secret string) map[string]string {
	quoted, _ := jsonMarshal(secret)
	twice, _ := jsonMarshal(string(quoted))
	b := []byte(secret)
	all := map[string]string{
		"plain": secret, "json": string(quoted[1 : len(quoted)-1]), "json twice": string(twice[3 : len(twice)-3]),
		"query": url.QueryEscape(secret), "path": url.PathEscape(secret),
		"query of json": url.QueryEscape(string(quoted)),
		"bearer":        "Bearer " + secret,
		"percent all":   percentAll(secret),
	}
	for i, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		for _, prefix := range []string{"", "a", "us", "me:"} {
			all[fmt.Sprintf("base64 %d %s", i, prefix)] = enc.EncodeToString(append([]byte(prefix), b...))
			all[fmt.Sprintf("base64 %d %s tail", i, prefix)] = enc.EncodeToString([]byte(prefix + secret + "\x00tail"))
		}
		all[fmt.Sprintf("query of base64 %d", i)] = url.QueryEscape(enc.EncodeToString(b))
	}
	return all
}

func percentAll(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02x", s[i])
	}
	return b.String()
}

func TestScrub(t *testing.T) {
	s := newSession()
	require.Equal(t, "x "+key, s.Scrub("x "+key), "nothing is known yet")
	_, secrets, err := s.Seal(context.Background(), []byte(`{"token":"`+key+`","pin":{"password":"1234"}}`), sealing.Options{})
	require.NoError(t, err)
	m, short := sealing.MaskOf(secrets[0].FP), sealing.MaskOf(secrets[1].FP)
	for in, want := range map[string]string{
		"":  "",
		key: m,
		"GET https://x/?k=" + key + "&a=1: 401, " + key:                                       "GET https://x/?k=" + m + "&a=1: 401, " + m,
		"Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("u:"+key)) + "; x": "Authorization: Basic " + m + "; x",
		"pin 12345": "pin 12345",
		"1234":      short,
		`{\"k\":\"` + strings.ReplaceAll(key, "-", `\u002d`) + `\"}`: `{\"k\":\"` + m + `\"}`,
	} {
		require.Equal(t, want, s.Scrub(in))
	}
}

func TestSeal_Refused(t *testing.T) {
	intake := sealing.Options{Intake: true, KeepMasks: true}
	many := `{"api_keys":[` + strings.TrimSuffix(strings.Repeat(`"k",`, sealing.SecretsMax+1), ",") + `]}`
	for name, c := range map[string]struct {
		in, field, code string
		kind            error
	}{
		"no JSON":        {`{"a":{"b":}}`, "/a/b", "", domain.ErrInvalid},
		"duplicate key":  {`{"a":1,"a":2}`, "", "", domain.ErrInvalid},
		"key":            {`{"t":{"token":"` + key + `","` + key + `":1}}`, "/t", "SECRET_IN_KEY", domain.ErrUnprocessable},
		"unknown mask":   {`{"a":{"token":"***01234567"}}`, "/a/token", "UNKNOWN_MASK", domain.ErrUnprocessable},
		"too many":       {many, "", "TOO_MANY_SECRETS", domain.ErrUnprocessable},
		"deeper than is": {strings.Repeat("[", domain.JSONDepthMax+1), strings.Repeat("/0", domain.JSONDepthMax), "", domain.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSession()
			_, _, err := s.Seal(context.Background(), []byte(c.in), intake)
			require.ErrorIs(t, err, c.kind)
			var e *domain.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, c.field, e.Field)
			require.Equal(t, c.code, e.Code)
			require.NotContains(t, err.Error(), key)
			require.Empty(t, s.Secrets())
			require.Equal(t, key, s.Scrub(key), "a refused payload leaves nothing known")
		})
	}
	s := newSession()
	v, secrets, err := s.Seal(context.Background(), []byte(many), sealing.Options{})
	require.NoError(t, err, "results are sealed as a whole instead")
	require.Equal(t, "null", string(v.JSON))
	require.Len(t, secrets, 1)
	back, err := s.Open(context.Background(), v)
	require.NoError(t, err)
	require.Equal(t, many, string(back))
}

// A write that sends back the stored mask keeps the secret.
func TestSeal_KeepMasks(t *testing.T) {
	s := newSession()
	v, _, err := s.Seal(context.Background(), []byte(`{"api_key":"`+key+`","n":1}`), sealing.Options{Intake: true})
	require.NoError(t, err)
	edited := strings.Replace(s.mask(t, v), `"n":1`, `"n":2,"note":"***00000000"`, 1)
	w, secrets, err := s.Seal(context.Background(), []byte(edited), sealing.Options{Intake: true, KeepMasks: true})
	require.NoError(t, err)
	require.Empty(t, secrets)
	back, err := s.Open(context.Background(), w)
	require.NoError(t, err)
	require.Equal(t, `{"api_key":"`+key+`","n":2,"note":"***00000000"}`, string(back))
}

func TestParseMask(t *testing.T) {
	fp, ok := sealing.ParseMask(sealing.MaskOf("a1b2c3d4"))
	require.True(t, ok)
	require.Equal(t, "a1b2c3d4", fp)
	for _, s := range []string{"", "***", "***a1b2c3d", "***a1b2c3d4e", "***A1B2C3D4", "**a1b2c3d4", "x***a1b2c3d4"} {
		_, ok := sealing.ParseMask(s)
		require.False(t, ok, s)
	}
}

// Secrets that are not appended must not be referred to by later values.
func TestRollback(t *testing.T) {
	s := newSession()
	_, first, err := s.Seal(context.Background(), []byte(`{"token":"`+key+`"}`), sealing.Options{})
	require.NoError(t, err)
	mark := s.Mark()
	_, _, err = s.Seal(context.Background(), []byte(`{"password":"other secret"}`), sealing.Options{})
	require.NoError(t, err)
	s.Rollback(mark)
	require.Equal(t, first, s.Secrets())
	require.Equal(t, "other secret", s.Scrub("other secret"))
	_, again, err := s.Seal(context.Background(), []byte(`{"x":["other secret","`+key+`"],"token":"new"}`), sealing.Options{})
	require.NoError(t, err)
	require.Len(t, again, 1)
	require.Equal(t, "s2", again[0].ID)
}

// A key of the process is in no event, but the far side may quote it.
func TestKnow_FindsWhatWasNeverSealed(t *testing.T) {
	s := newSession()
	s.Know("", key)
	require.Empty(t, s.Secrets(), "nothing to record yet")
	require.NotContains(t, s.Scrub("refused: Bearer "+key), key)
	mark := s.Mark()
	v, secrets, err := s.Seal(context.Background(), []byte(`{"said":"your key is `+key+`","open":"yes"}`), sealing.Options{})
	require.NoError(t, err)
	require.Len(t, secrets, 1)
	require.NotContains(t, string(v.JSON), key)
	require.Contains(t, string(v.JSON), `"open":"yes"`)
	s.Rollback(mark)
	require.NotContains(t, s.Scrub(key), key, "a rollback does not forget it")
}

// A session rebuilt from the recorded secrets opens, masks and numbers as the live one.
func TestLearn_RebuildsTheSession(t *testing.T) {
	ctx := context.Background()
	s := newSession()
	big := strings.Repeat("x", domain.PayloadInlineBytesMax) + key
	v, secrets, err := s.Seal(ctx, []byte(`{"log":"`+big+`","authorization":"Bearer `+key+`","o":{"`+key+`":{"secret":"inner secret"}}}`), sealing.Options{})
	require.NoError(t, err)
	require.Len(t, secrets, 3)
	require.Empty(t, secrets[0].Ciphertext, "a large ciphertext stands in a blob")
	require.Equal(t, 1, s.blobs.Len())

	r := sealing.New("run-1", s.vault, s.blobs)
	require.NoError(t, r.Learn(ctx, secrets[:1]))
	require.NoError(t, r.Learn(ctx, secrets), "known ones are passed over")
	require.Equal(t, secrets, r.Secrets())
	a, err := s.Open(ctx, v)
	require.NoError(t, err)
	b, err := r.Open(ctx, v)
	require.NoError(t, err)
	require.Equal(t, string(a), string(b))
	for _, text := range []string{"see " + key, "an inner secret", "Bearer " + key, base64.StdEncoding.EncodeToString([]byte(key))} {
		require.Equal(t, s.Scrub(text), r.Scrub(text))
		require.NotEqual(t, text, r.Scrub(text))
	}

	swapped := []sealing.Secret{secrets[1], secrets[2]}
	swapped[0].ID, swapped[1].ID = "s1", "s2"
	require.ErrorIs(t, sealing.New("run-1", s.vault, s.blobs).Learn(ctx, swapped), domain.ErrCorrupt, "swapped ids")
	gap := sealing.New("run-1", s.vault, s.blobs)
	require.NoError(t, gap.Learn(ctx, secrets[1:]), "a dropped result takes its ids along")
	require.Len(t, gap.Secrets(), len(secrets)-1)
	require.NoError(t, gap.Learn(ctx, secrets[:1]), "recorded later than one with a higher id")
	require.Equal(t, secrets, gap.Secrets())
	require.ErrorIs(t, sealing.New("run-2", s.vault, s.blobs).Learn(ctx, secrets), domain.ErrNotFound, "another stream without key")
	_, err = s.vault.Seal(ctx, "run-2", "s1", []byte(`"x"`))
	require.NoError(t, err)
	require.ErrorIs(t, sealing.New("run-2", s.vault, s.blobs).Learn(ctx, secrets), domain.ErrCorrupt, "another stream's key")
	other := newSession()
	_, theirs, err := other.Seal(ctx, []byte(`{"token":"z"}`), sealing.Options{})
	require.NoError(t, err)
	require.ErrorIs(t, r.Learn(ctx, theirs), domain.ErrConflict)
	require.NoError(t, s.vault.Erase(ctx, "run-1"))
	require.ErrorIs(t, sealing.New("run-1", s.vault, s.blobs).Learn(ctx, secrets), domain.ErrNotFound)
	require.NotContains(t, s.mask(t, v), key, "masks need no key")
}

func TestOpen_WrongHoles(t *testing.T) {
	s := newSession()
	v, _, err := s.Seal(context.Background(), []byte(`{"token":"a1","secret":"b2"}`), sealing.Options{})
	require.NoError(t, err)
	for name, hole := range map[string]domain.Hole{
		"unknown id":  {At: "/token", Sealed: "s3", FP: v.Holes[0].FP},
		"malformed":   {At: "/token", Sealed: "s01", FP: v.Holes[0].FP},
		"swapped ids": {At: "/token", Sealed: "s2", FP: v.Holes[0].FP},
		"no place":    {At: "/nowhere", Sealed: "s1", FP: v.Holes[0].FP},
	} {
		_, err := s.Open(context.Background(), domain.Value{JSON: v.JSON, Holes: []domain.Hole{hole}})
		require.ErrorIs(t, err, domain.ErrCorrupt, name)
	}
}

// A payload over 64 KiB becomes a blob; its secrets keep pointing into the content.
func TestSeal_Blob(t *testing.T) {
	ctx := context.Background()
	s := newSession()
	fill := strings.Repeat("y", domain.PayloadInlineBytesMax)
	raw := `{"a":{"token":"` + key + `"},"fill":"` + fill + `"}`
	v, _, err := s.Seal(ctx, []byte(raw), sealing.Options{})
	require.NoError(t, err)
	require.Equal(t, "null", string(v.JSON))
	require.Len(t, v.Holes, 2)
	require.Equal(t, "", v.Holes[0].At)
	require.Equal(t, "/a/token", v.Holes[1].At)
	content, err := s.blobs.Get(ctx, v.Holes[0].Blob)
	require.NoError(t, err)
	require.Equal(t, `{"a":{"token":null},"fill":"`+fill+`"}`, string(content))
	require.EqualValues(t, len(content), v.Holes[0].Bytes)

	back, err := s.Open(ctx, v)
	require.NoError(t, err)
	require.Equal(t, raw, string(back))

	// Moved into a larger value, as deciders do.
	var o domain.Object
	o.Add("in/put", v)
	o.Add("n", domain.Raw([]byte("1")))
	moved := o.Value()
	back, err = s.Open(ctx, moved)
	require.NoError(t, err)
	require.Equal(t, `{"in/put":`+raw+`,"n":1}`, string(back))
	masked := s.mask(t, moved)
	require.Equal(t, strings.Replace(string(back), key, sealing.MaskOf(v.Holes[1].FP), 1), masked)
	linked, err := s.Mask(ctx, moved, 100)
	require.NoError(t, err)
	sha := v.Holes[0].Blob
	require.JSONEq(t, fmt.Sprintf(`{"in/put":{"$blob":%q,"bytes":%d,"href":%q},"n":1}`, sha, len(content), "/blobs/"+sha), string(linked))

	exact := `"` + strings.Repeat("z", domain.PayloadInlineBytesMax-2) + `"`
	v, _, err = s.Seal(ctx, []byte(exact), sealing.Options{})
	require.NoError(t, err)
	require.Empty(t, v.Holes, "64 KiB stay inline")
}

func TestFlowsIntoSecret(t *testing.T) {
	inputs, depends := sealing.FlowsIntoSecret([]byte(`{
		"user_message": {"input": "question"}, "openai_api_key": {"input": "k"}, "token": {"input": "k"},
		"config": {"headers": {"Authorization": {"depends": "login"}, "Accept": {"input": "accept"}},
			"body": {"credentials": {"pair": [{"input": "a/b"}, {"depends": "vault.context"}]}}},
		"x": {"depends": "get", "mapping": {"BODY_name": "n", "HEADER_Authorization": "data.t", "QUERY_token": "u"}},
		"mapping": {"HEADER_cookie": "none"},
		"secret": {"value": "plain", "note": {"input": 3}}}`))
	require.Equal(t, []string{"k", "a/b"}, inputs)
	require.Equal(t, []string{"login", "vault.context", "get"}, depends)
	inputs, depends = sealing.FlowsIntoSecret([]byte(`[]`))
	require.Empty(t, inputs)
	require.Empty(t, depends)
}

// The fast path: no secret keys, no known secrets: the value is the input, and nothing is stored.
func TestSeal_NoSecretsCostNothing(t *testing.T) {
	s := newSession()
	raw := []byte(`{"message":"hello","n":[1,2,3],"o":{"a":"b"}}`)
	v, secrets, err := s.Seal(context.Background(), raw, sealing.Options{})
	require.NoError(t, err)
	require.Nil(t, secrets)
	require.Same(t, &raw[0], &v.JSON[0])
	require.Nil(t, v.Holes)
	back, err := s.Open(context.Background(), v)
	require.NoError(t, err)
	require.Same(t, &raw[0], &back[0])
	require.Zero(t, s.blobs.Len())
}
