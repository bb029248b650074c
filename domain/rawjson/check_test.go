package rawjson_test

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"quipu/domain/rawjson"
)

const depthMax = 128

func TestCheck_AcceptsEveryValidValue(t *testing.T) {
	for _, s := range []string{
		"null", "true", "false", "0", "-0", "-0.0", "1e400", "1E+5", "9007199254740993", "0.1e-7", `""`, `"\ud800"`,
		`"\u2028 \/ \" \\ \b\f\n\r\t"`, "\"\u2028\"", `"<script>&"`, "[]", "{}", " [ ] ", "\t{ }\r\n",
		`{"a":1,"A":2,"":3}`, `[[],{},[{}]]`, `{"a":{"a":{"a":1}}}`,
		strings.Repeat("[", depthMax) + strings.Repeat("]", depthMax),
	} {
		require.NoError(t, rawjson.Check([]byte(s), depthMax), s)
		require.True(t, json.Valid([]byte(s)), s)
	}
}

// The place and the reason go straight into clients' error messages.
func TestCheck_SaysWhereAndWhy(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", `at "", byte 0: unexpected end`},
		{"  ", `at "", byte 2: unexpected end`},
		{"nul", `at "", byte 0: unexpected word, expected null`},
		{"tru]", `at "", byte 0: unexpected word, expected true`},
		{"nulls", `at "", byte 4: unexpected bytes after the value`},
		{"1 2", `at "", byte 2: unexpected bytes after the value`},
		{"01", `at "", byte 2: number with a leading zero`},
		{"-", `at "", byte 1: number without digits`},
		{"1.", `at "", byte 2: number without digits after the point`},
		{"1e+", `at "", byte 3: number without digits in the exponent`},
		{"+1", `at "", byte 0: unexpected character '+'`},
		{"NaN", `at "", byte 0: unexpected character 'N'`},
		{`"`, `at "", byte 1: unexpected end inside a string`},
		{"\"a\nb\"", `at "", byte 2: control character in a string`},
		{`"\x"`, `at "", byte 1: bad escape in a string`},
		{`"\u12g4"`, `at "", byte 1: bad escape in a string`},
		{"\"a\xff\"", `at "", byte 2: invalid UTF-8 in a string`},
		{"\"\xed\xa0\x80\"", `at "", byte 1: invalid UTF-8 in a string`},
		{`{"a":1,}`, `at "", byte 7: expected a string as object key`},
		{`{"a" 1}`, `at "", byte 5: expected ':' after an object key`},
		{`{"a":1 "b"}`, `at "", byte 7: expected ',' or '}' inside an object`},
		{`{"a":1`, `at "", byte 6: unexpected end inside an object`},
		{`[1,]`, `at "/1", byte 3: unexpected character ']'`},
		{`[1 2]`, `at "", byte 3: expected ',' or ']' inside an array`},
		{`[1`, `at "", byte 2: unexpected end inside an array`},
		{`{"a":1,"\u0061":2}`, `at "", byte 7: duplicate key "a"`},
		{`{"x/y":{"~":[0,{"b":tru}]}}`, `at "/x~1y/~0/1/b", byte 20: unexpected word, expected true`},
		{strings.Repeat("[", 129), `at "` + strings.Repeat("/0", 128) + `", byte 128: nested deeper than 128 levels`},
	} {
		err := rawjson.Check([]byte(c.in), depthMax)
		var syntax *rawjson.SyntaxError
		require.ErrorAs(t, err, &syntax, c.in)
		require.Equal(t, c.want, err.Error(), c.in)
	}
}

// Small objects look for doubles in a slice, large ones in a map: both must find them.
func TestCheck_FindsDoubleKeysInLargeObjects(t *testing.T) {
	for _, n := range []int{1, 15, 16, 17, 18, 1000} {
		var b strings.Builder
		b.WriteByte('{')
		for i := range n {
			b.WriteString(`"k` + strconv.Itoa(i) + `":0,`)
		}
		require.NoError(t, rawjson.Check([]byte(b.String()+`"z":0}`), depthMax), n)
		for _, dup := range []int{0, n / 2, n - 1} {
			require.ErrorContains(t, rawjson.Check([]byte(b.String()+`"k`+strconv.Itoa(dup)+`":0}`), depthMax), "duplicate key", n)
		}
	}
}

func TestWalk_VisitsEveryValueInOrderWithItsSpan(t *testing.T) {
	doc := []byte(` {"a/b": [1, {"~": "x"}] , "c":null}`)
	var got []string
	require.NoError(t, rawjson.Walk(doc, depthMax, func(p *rawjson.Path, kind rawjson.Kind, start, end int) bool {
		line := p.Pointer() + " " + string(kind)
		if end > 0 {
			line += " " + string(doc[start:end])
		}
		if key, ok := p.Key(); ok {
			line += " key=" + key
		}
		got = append(got, line+" depth="+strconv.Itoa(p.Depth()))
		return true
	}))
	require.Equal(t, []string{
		" { depth=0", "/a~1b [ key=a/b depth=1", "/a~1b/0 0 1 depth=2", "/a~1b/1 { depth=2",
		`/a~1b/1/~0 " "x" key=~ depth=3`, "/c n null key=c depth=1",
	}, got)
}

func TestWalk_StopsWhenAsked(t *testing.T) {
	n := 0
	require.NoError(t, rawjson.Walk([]byte(`[1,2,[3,oops`), depthMax, func(*rawjson.Path, rawjson.Kind, int, int) bool {
		n++
		return n < 3
	}))
	require.Equal(t, 3, n)
}

// FuzzCheck compares with encoding/json: what Check accepts is valid, and what it refuses although
// it is valid has a double key, invalid UTF-8 or too much nesting.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,-0,1e400,true,null,"\ud800\u2028"],"b":{}}`, `{"a":1,"a":2}`, "\"\xff\"", "[[[", `"\`, `"\u`, "-", "1.e", "{\"\":", "\x00",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		err := rawjson.Check(b, depthMax)
		if err == nil {
			require.True(t, json.Valid(b))
			exercise(t, b)
			return
		}
		var syntax *rawjson.SyntaxError
		require.True(t, errors.As(err, &syntax))
		require.GreaterOrEqual(t, syntax.Offset, 0)
		require.LessOrEqual(t, syntax.Offset, len(b))
		if json.Valid(b) {
			require.True(t, strings.HasPrefix(syntax.Reason, "duplicate key") ||
				strings.HasPrefix(syntax.Reason, "nested deeper") ||
				syntax.Reason == "invalid UTF-8 in a string" && !utf8.Valid(b), "%q: %v", b, err)
		}
	})
}

// exercise checks that every reader agrees with Walk about a valid document.
func exercise(t *testing.T, doc []byte) {
	t.Helper()
	type place struct {
		pointer    string
		start, end int
	}
	var leaves []place
	require.NoError(t, rawjson.Walk(doc, depthMax, func(p *rawjson.Path, kind rawjson.Kind, start, end int) bool {
		if end > 0 {
			leaves = append(leaves, place{p.Pointer(), start, end})
			if kind == rawjson.String {
				var want string
				require.NoError(t, json.Unmarshal(doc[start:end], &want))
				require.Equal(t, want, rawjson.Unquote(doc[start:end]))
			}
		}
		return true
	}))
	var edits []rawjson.Edit
	for i, l := range leaves {
		if i < 20 { // Get is linear, so a few are enough
			got, ok := rawjson.Get(doc, l.pointer)
			require.True(t, ok, l.pointer)
			require.Equal(t, string(doc[l.start:l.end]), string(got))
		}
		edits = append(edits, rawjson.Edit{Start: l.start, End: l.end, New: []byte(`{"n":null}`)})
	}
	require.NoError(t, rawjson.Check(rawjson.Splice(doc, edits), depthMax+1))
	for _, m := range rawjson.Members(doc) {
		require.NoError(t, rawjson.Check(m.Value, depthMax))
	}
	for _, v := range rawjson.Items(doc) {
		require.NoError(t, rawjson.Check(v, depthMax))
	}
}
