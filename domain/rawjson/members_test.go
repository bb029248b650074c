package rawjson_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain/rawjson"
)

func TestGet_ReadsWithoutCopies(t *testing.T) {
	doc := []byte(` {"config":{"url":"http://127.0.0.1:1/step","method":"GET","n":[1,{"a\u0062":2}]}} `)
	for pointer, want := range map[string]string{
		"/config/url":        `"http://127.0.0.1:1/step"`,
		"/config/n/1":        `{"a\u0062":2}`,
		"/config/default":    "",
		"/config/method/url": "",
	} {
		var got []byte
		n := testing.AllocsPerRun(100, func() { got, _ = rawjson.Get(doc, pointer) })
		require.Equal(t, want, string(got), pointer)
		require.Zero(t, n, pointer)
	}
	got, ok := rawjson.Get(doc, "/config/n/1/ab") // a key with escapes is decoded
	require.True(t, ok)
	require.Equal(t, "2", string(got))
}

func TestMembers_OfAnyNumber(t *testing.T) {
	for _, n := range []int{0, 1, 7, 8, 9, 32, 33, 1000} {
		object, array := make([]string, n), make([]string, n)
		for i := range n {
			array[i] = strconv.Itoa(i)
			object[i] = `"k` + array[i] + `" : ` + array[i]
		}
		members := rawjson.Members([]byte("{" + strings.Join(object, " , ") + "}"))
		items := rawjson.Items([]byte("[" + strings.Join(array, ",\n") + "]"))
		require.Len(t, members, n)
		require.Len(t, items, n)
		for i := range n {
			require.Equal(t, "k"+array[i], members[i].Key)
			require.Equal(t, array[i], string(members[i].Value))
			require.Equal(t, array[i], string(items[i]))
		}
	}
}

// What is no JSON ends the reading at the fault, whatever it is.
func FuzzMembers(f *testing.F) {
	for _, doc := range []string{`{"a":1,"b":[{}]}`, `{"a"`, `{"a":]`, `[,]`, `[1,2`, `{"\ud800":0}`, `{"a" 1}`, `[1 2]`, `{,"a":1}`, `[}]`} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		members, items := rawjson.Members(doc), rawjson.Items(doc)
		if rawjson.Check(doc, 100) != nil {
			return
		}
		var object map[string]json.RawMessage
		if rawjson.KindOf(doc) == rawjson.Object && json.Unmarshal(doc, &object) == nil {
			require.Len(t, members, len(object))
			for _, m := range members {
				got, ok := rawjson.Get(doc, "/"+rawjson.EscapeKey(m.Key))
				require.True(t, ok)
				require.Equal(t, string(object[m.Key]), string(got))
			}
		}
		var array []json.RawMessage
		if rawjson.KindOf(doc) == rawjson.Array && json.Unmarshal(doc, &array) == nil {
			require.Len(t, items, len(array))
			for i := range array {
				got, ok := rawjson.Get(doc, "/"+strconv.Itoa(i))
				require.True(t, ok)
				require.Equal(t, string(array[i]), string(got))
			}
		}
	})
}

func BenchmarkGet(b *testing.B) {
	doc := []byte(`{"config":{"url":"http://127.0.0.1:1/step","method":"GET","headers":{"X-A":"1"}}}`)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = rawjson.Get(doc, "/config/timeout")
	}
}

func BenchmarkMembers(b *testing.B) {
	doc := []byte(`{"url":"http://127.0.0.1:1/step","method":"GET","headers":{"X-A":"1"},"output":"body"}`)
	b.ReportAllocs()
	for b.Loop() {
		_ = rawjson.Members(doc)
	}
}
