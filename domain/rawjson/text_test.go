package rawjson_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quipu/domain/rawjson"
)

func TestUnquote_AgreesWithEncodingJSON(t *testing.T) {
	for _, s := range []string{
		`""`, `"plain"`, `"\"\\\/\b\f\n\r\t"`, `"\u0041\u00e9"`, `"\ud83d\ude00"`, `"\uD83D\uDE00x"`,
		`"\ud800"`, `"\ud800x"`, `"\ud800\n"`, `"\ud800\u0041"`, `"\ud800\ud800"`, `"\udc00\ud800"`, `"\ud800\ud83d\ude00"`,
		`"\u0000"`, "\"\u2028\U0001F600\"", `"a\u002Fb"`,
	} {
		var want string
		require.NoError(t, json.Unmarshal([]byte(s), &want))
		require.Equal(t, want, rawjson.Unquote([]byte(s)), s)
	}
}

func TestAppendString_EscapesOnlyWhatJSONRequires(t *testing.T) {
	require.Equal(t, `x"a\"b\\c/<>&`+"\u2028"+`\n\r\t\u0000\u001f\u0008`+"\u007f\ufffd"+`é"`,
		string(rawjson.AppendString([]byte("x"), "a\"b\\c/<>&\u2028\n\r\t\x00\x1f\b\x7f\xffé")))
}

func TestAppendString_RoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "s")
		quoted := rawjson.Quote(s)
		if err := rawjson.Check(quoted, 1); err != nil {
			t.Fatalf("%q: %v", quoted, err)
		}
		// Each invalid byte becomes one U+FFFD, as when ranging over the string.
		want := string([]rune(s))
		if got := rawjson.Unquote(quoted); got != want || !utf8.ValidString(got) {
			t.Fatalf("%q came back as %q", s, got)
		}
	})
}

func TestKindOf(t *testing.T) {
	for in, want := range map[string]rawjson.Kind{
		" null": rawjson.Null, "true": rawjson.Bool, "\n false": rawjson.Bool, "-1": rawjson.Number, "0": rawjson.Number,
		`"x"`: rawjson.String, "\t[": rawjson.Array, "\r{": rawjson.Object, "": rawjson.Null,
	} {
		require.Equal(t, want, rawjson.KindOf([]byte(in)), in)
	}
}

func TestMembers_KeepsOrderAndSpans(t *testing.T) {
	got := rawjson.Members([]byte(` { "b" : [1, {"x":"]}"}] ,"\u0061":-1e5, "c":"\"}," ,"d" : { } } `))
	require.Len(t, got, 4)
	for i, want := range []struct{ key, value string }{{"b", `[1, {"x":"]}"}]`}, {"a", "-1e5"}, {"c", `"\"},"`}, {"d", "{ }"}} {
		require.Equal(t, want.key, got[i].Key)
		require.Equal(t, want.value, string(got[i].Value))
	}
	// Appending to one span must not write over the next member.
	_ = append(got[1].Value, "!!!!"...)
	require.Equal(t, `"\"},"`, string(got[2].Value))
	require.Nil(t, rawjson.Members([]byte(`[1]`)))
	require.Empty(t, rawjson.Members([]byte(`{}`)))
}

func TestItems_KeepsOrderAndSpans(t *testing.T) {
	var got []string
	for _, v := range rawjson.Items([]byte(` [ 1,"],", [2,[]] ,{"a":["}"] } , null ]`)) {
		got = append(got, string(v))
	}
	require.Equal(t, []string{"1", `"],"`, "[2,[]]", `{"a":["}"] }`, "null"}, got)
	require.Nil(t, rawjson.Items([]byte(`{}`)))
	require.Empty(t, rawjson.Items([]byte(`[ ]`)))
}

func TestGet_FollowsPointers(t *testing.T) {
	doc := []byte(` {"a":{"b/c":[10, {"~":"x"}],"":{"":1}},"0":"zero","~1":2} `)
	for pointer, want := range map[string]string{
		"": strings.TrimSpace(string(doc)), "/a/b~1c/0": "10", "/a/b~1c/1/~0": `"x"`, "/a/": `{"":1}`, "/a//": "1", "/0": `"zero"`, "/~01": "2",
	} {
		got, ok := rawjson.Get(doc, pointer)
		require.True(t, ok, pointer)
		require.Equal(t, want, string(got), pointer)
	}
}

// RFC 6901 section 4. A second spelling of a place would not match the hole that stands there.
func TestGet_RefusesWhatIsNoPointer(t *testing.T) {
	doc := []byte(`{"a":[10,11],"~2":1,"~":2,"b":3}`)
	for _, pointer := range []string{
		"/x", "/a/2", "/a/-", "/a/-1", "/a/01", "/a/+1", "/a/1/0", "/b/0", "a", "xa", "/~2", "/~", "/a/1_0", "/a/99999999999999999999",
	} {
		_, ok := rawjson.Get(doc, pointer)
		require.False(t, ok, pointer)
	}
}

func TestSplice(t *testing.T) {
	b := []byte("0123456789")
	require.Equal(t, "0123456789", string(rawjson.Splice(b, nil)))
	require.Equal(t, "ab1cc456789d", string(rawjson.Splice(b, []rawjson.Edit{
		{0, 1, []byte("ab")}, {2, 4, []byte("cc")}, {10, 10, []byte("d")},
	})))
	require.Equal(t, "0123456789", string(b))
}
