package rawjson_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain/rawjson"
)

// order is a document of a known shape, as callers read one.
type order struct {
	Name  string
	Count int
	Price float64
	Paid  bool
	Notes []string
	Raw   string
	Inner *order
}

func readOrder(r *rawjson.Reader) (o order) {
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "name":
			o.Name = r.Text()
		case "count":
			o.Count = r.Int()
		case "price":
			o.Price = r.Float()
		case "paid":
			o.Paid = r.Bool()
		case "notes":
			for r.Array(); r.Item(); {
				o.Notes = append(o.Notes, string(r.Content()))
			}
		case "raw":
			o.Raw = string(r.Raw())
		case "inner":
			inner := readOrder(r)
			o.Inner = &inner
		case "odd":
			r.Fail("of a caller's own")
		case "x":
			r.Ignore()
		default:
			r.Unknown()
		}
	}
	return o
}

func read(doc string, depthMax int) (order, error) {
	var r rawjson.Reader
	r.Reset([]byte(doc), depthMax)
	o := readOrder(&r)
	return o, r.End()
}

func TestReader_ReadsEveryKindOfValue(t *testing.T) {
	long := strings.Repeat("long é ", 40)
	doc := " {\n\"name\" : \"a\\u00e9\\n\", \"count\":-0 ,\"price\":1.5e-3,\"paid\":true,\"notes\":[ \"é\" ,\"\", \"" + long + "\",\"\\\"\"]," +
		"\"raw\": {\"k\":[1e400,\"\\ud800\"]} ,\"inner\":{\"inner\":{},\"name\":\"n\",\"count\":-9223372036854775808},\"x\":null,\"x\":[]}\t"
	o, err := read(doc, depthMax)
	require.NoError(t, err)
	require.Equal(t, order{
		Name: "aé\n", Price: 0.0015, Paid: true, Notes: []string{"é", "", long, `"`}, Raw: `{"k":[1e400,"\ud800"]}`,
		Inner: &order{Inner: &order{}, Name: "n", Count: -9223372036854775808},
	}, o)
}

// Short texts share one copy of their surroundings: each must still be itself, wherever it stands.
func TestReader_TextsFarApart(t *testing.T) {
	for gap := range 400 {
		var r rawjson.Reader
		r.Reset([]byte(`["first",`+strings.Repeat(" ", gap)+`"second","`+strings.Repeat("z", gap)+`","last"]`), depthMax)
		var got []string
		for r.Array(); r.Item(); {
			got = append(got, r.Text())
		}
		require.NoError(t, r.End())
		require.Equal(t, []string{"first", "second", strings.Repeat("z", gap), "last"}, got)
	}
}

func TestReader_SaysWhereAndWhy(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", `at "", byte 0: expected an object`},
		{"null", `at "", byte 0: expected an object`},
		{`{"name":null}`, `at "/name", byte 8: expected a string`},
		{`{"name":"a`, `at "/name", byte 10: unexpected end inside a string`},
		{`{"name":"a","NAME":"b"}`, `at "/NAME", byte 19: unknown field`},
		{`{"n\u0061me":"b"}`, `at "/n\\u0061me", byte 13: unknown field`},
		{`{"name":"a","name":"b"}`, `at "/name", byte 13: duplicate key`},
		{`{"name":"a",}`, `at "/name", byte 12: expected a string as object key`},
		{`{"name" "a"}`, `at "/name", byte 8: expected ':' after an object key`},
		{`{"name":"a" "count":1}`, `at "/name", byte 12: expected ',' or '}' inside an object`},
		{`{,}`, `at "", byte 1: expected a string as object key`},
		{`{"count":1.0}`, `at "/count", byte 12: expected a whole number of 64 bits`},
		{`{"count":9223372036854775808}`, `at "/count", byte 28: expected a whole number of 64 bits`},
		{`{"count":01}`, `at "/count", byte 11: number with a leading zero`},
		{`{"count":"1"}`, `at "/count", byte 9: expected a number`},
		{`{"price":1e400}`, `at "/price", byte 14: number out of range`},
		{`{"paid":1}`, `at "/paid", byte 8: expected true or false`},
		{`{"notes":{}}`, `at "/notes", byte 9: expected an array`},
		{`{"notes":["a",7]}`, `at "/notes/1", byte 14: expected a string`},
		{`{"notes":["a" "b"]}`, `at "/notes/0", byte 14: expected ',' or ']' inside an array`},
		{`{"notes":["a",]}`, `at "/notes/1", byte 14: expected a string`},
		{`{"raw":{"k":tru}}`, `at "/raw", byte 12: unexpected word, expected true`},
		{`{"raw":{"k":1]}`, `at "/raw", byte 13: expected ',' or '}'`},
		{`{"raw":`, `at "/raw", byte 7: unexpected end`},
		{`{"raw":[[[1]]]}`, `at "/raw", byte 9: nested deeper than the document may`},
		{`{"inner":{"inner":{"inner":{}}}}`, `at "/inner/inner/inner", byte 27: nested deeper than expected`},
		{`{"inner":{"odd":1}}`, `at "/inner/odd", byte 16: of a caller's own`},
		{`{} {}`, `at "", byte 3: unexpected bytes after the value`},
		{"{\"name\":\"\xff\"}", `at "/name", byte 9: invalid UTF-8 in a string`},
		{"{\"\xff\":1}", `at "", byte 2: invalid UTF-8 in a string`},
	} {
		_, err := read(c.in, 3)
		var syntax *rawjson.SyntaxError
		require.ErrorAs(t, err, &syntax, c.in)
		require.Equal(t, c.want, err.Error(), c.in)
	}
}

// The room for keys and levels is fixed: more must be refused and not written past.
func TestReader_Bounds(t *testing.T) {
	keys := func(n int) error {
		var r rawjson.Reader
		var b strings.Builder
		for i := range n {
			b.WriteString(`,"` + strings.Repeat("k", i+1) + `":0`)
		}
		r.Reset([]byte("{"+b.String()[1:]+"}"), depthMax)
		for r.Object(); r.Next(); {
			r.Int()
		}
		return r.End()
	}
	require.NoError(t, keys(32))
	require.ErrorContains(t, keys(33), "more members than expected")
	_, err := read(strings.Repeat(`{"inner":`, 7)+"{}"+strings.Repeat("}", 7), depthMax)
	require.NoError(t, err)
	_, err = read(strings.Repeat(`{"inner":`, 8)+"{}"+strings.Repeat("}", 8), depthMax)
	require.ErrorContains(t, err, "nested deeper than expected")
	_, err = read("{"+strings.Repeat(`"x":0,`, 1000)+`"x":0}`, depthMax)
	require.NoError(t, err, "keys passed over take no room")
}

// After a fault everything is zero, so that callers need to ask once, at the end.
func TestReader_FaultEndsTheReading(t *testing.T) {
	var r rawjson.Reader
	r.Reset([]byte(`{"a":tru}`), depthMax)
	r.Object()
	require.True(t, r.Next())
	require.Nil(t, r.Raw())
	require.False(t, r.Next())
	require.False(t, r.Item())
	r.Object()
	r.Array()
	require.Empty(t, r.Text())
	require.Empty(t, r.Content())
	require.Zero(t, r.Int())
	require.Zero(t, r.Float())
	require.False(t, r.Bool())
	r.Ignore()
	r.Unknown()
	require.EqualError(t, r.End(), `at "/a", byte 5: unexpected word, expected true`)
}

// FuzzReader_Raw: what is read as any value is what encoding/json calls valid.
func FuzzReader_Raw(f *testing.F) {
	for _, s := range []string{`{"a":[1,-0,1e400,true,null,"\ud800\u2028"],"b":{}}`, `{"a":1,"a":2}`, "\"\xff\"", "[[[", `"\`, `"\u`, "-", "1.e", "{\"\":", "\x00", " [ 1 , 2 ] "} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r rawjson.Reader
		r.Reset(b, 10_000)
		value := r.Raw()
		if err := r.End(); err != nil {
			require.False(t, json.Valid(b), "%q: %v", b, err)
			return
		}
		require.True(t, json.Valid(b), "%q", b)
		require.Equal(t, string(rawjson.Trim(b)), string(value))
	})
}
