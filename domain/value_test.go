package domain_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/rawjson"
)

func sealed(at, id string) domain.Hole { return domain.Hole{At: at, Sealed: id, FP: "fp-" + id} }

func blob(at, sum string) domain.Hole { return domain.Hole{At: at, Blob: sum, Bytes: 9} }

func TestValue_GetMovesHolesAlong(t *testing.T) {
	v := domain.Value{
		JSON:  []byte(`{"a":{"b":[null,1,null]},"a/b":null,"ab":null,"~":{"":null}}`),
		Holes: []domain.Hole{sealed("/a/b/0", "s1"), blob("/a/b/2", "x"), sealed("/a~1b", "s2"), sealed("/ab", "s3"), sealed("/~0/", "s4")},
	}
	for _, c := range []struct {
		pointer, json string
		holes         []domain.Hole
	}{
		{"", string(v.JSON), v.Holes},
		{"/a", `{"b":[null,1,null]}`, []domain.Hole{sealed("/b/0", "s1"), blob("/b/2", "x")}},
		{"/a/b", `[null,1,null]`, []domain.Hole{sealed("/0", "s1"), blob("/2", "x")}},
		{"/a/b/0", `null`, []domain.Hole{sealed("", "s1")}},
		{"/a/b/1", `1`, nil},
		{"/a~1b", `null`, []domain.Hole{sealed("", "s2")}},
		{"/~0", `{"":null}`, []domain.Hole{sealed("/", "s4")}},
	} {
		got, ok := v.Get(c.pointer)
		require.True(t, ok, c.pointer)
		require.Equal(t, domain.Value{JSON: []byte(c.json), Holes: c.holes}, got, c.pointer)
	}
	for _, pointer := range []string{"/x", "/a/b/3", "/a/b/2/deeper", "a", "/a/b/00"} {
		_, ok := v.Get(pointer)
		require.False(t, ok, pointer)
	}
}

func TestValue_MembersMoveHolesAlong(t *testing.T) {
	v := domain.Value{
		JSON:  []byte(`{"a":{"x":null}, "a/b":null,"ab":[null,null],"none":1}`),
		Holes: []domain.Hole{sealed("/ab/1", "s3"), sealed("/a/x", "s1"), sealed("/a~1b", "s2"), sealed("/ab/0", "s4")},
	}
	require.Equal(t, []domain.Member{
		{Key: "a", Value: domain.Value{JSON: []byte(`{"x":null}`), Holes: []domain.Hole{sealed("/x", "s1")}}},
		{Key: "a/b", Value: domain.Value{JSON: []byte(`null`), Holes: []domain.Hole{sealed("", "s2")}}},
		{Key: "ab", Value: domain.Value{JSON: []byte(`[null,null]`), Holes: []domain.Hole{sealed("/1", "s3"), sealed("/0", "s4")}}},
		{Key: "none", Value: domain.Value{JSON: []byte(`1`)}},
	}, v.Members())
	require.Empty(t, domain.Raw([]byte("[1]")).Members())
	require.Empty(t, domain.Value{}.Members())
}

// Building an object from the members of another gives the same value: nothing is lost on the way.
func TestObject_RebuildsWhatMembersGave(t *testing.T) {
	v := domain.Value{
		JSON:  []byte(`{"~/":null,"n":1e400,"s":"\ud800","o":{"k":[null]}}`),
		Holes: []domain.Hole{sealed("/~0~1", "s1"), blob("/o/k/0", "b")},
	}
	var o domain.Object
	for _, m := range v.Members() {
		o.Add(m.Key, m.Value)
	}
	require.Equal(t, v, o.Value())
	var empty domain.Object
	require.Equal(t, domain.Raw([]byte("{}")), empty.Value())
	empty.Add("absent", domain.Value{})
	require.JSONEq(t, `{"absent":null}`, string(empty.Value().JSON))
}

func TestArray_NumbersHoles(t *testing.T) {
	var a domain.Array
	require.Equal(t, domain.Raw([]byte("[]")), a.Value())
	a.Add(domain.Text("x"))
	a.Add(domain.Value{})
	a.Add(domain.Value{JSON: []byte("null"), Holes: []domain.Hole{sealed("", "s1")}})
	a.Add(domain.Value{JSON: []byte(`{"k":null}`), Holes: []domain.Hole{sealed("/k", "s2")}})
	require.Equal(t, domain.Value{
		JSON: []byte(`["x",null,null,{"k":null}]`), Holes: []domain.Hole{sealed("/2", "s1"), sealed("/3/k", "s2")},
	}, a.Value())
}

func filler(content map[string]string) func(domain.Hole) ([]byte, error) {
	return func(h domain.Hole) ([]byte, error) {
		if c, ok := content[h.Blob+h.Sealed]; ok {
			return []byte(c), nil
		}
		return nil, errors.New("no content for " + h.Blob + h.Sealed)
	}
}

func TestValue_FillPutsContentInItsPlace(t *testing.T) {
	content := map[string]string{
		"s1": `"hush"`, "s2": `"shh"`, "whole": `{"a":null,"b":[null,2]}`, "inner": `[null, {"c":null}]`, "leaf": `7`,
	}
	for name, c := range map[string]struct {
		in   domain.Value
		want string
	}{
		"nothing":                   {domain.Raw([]byte(` {"a":null} `)), ` {"a":null} `},
		"secret as the whole value": {domain.Value{JSON: []byte("null"), Holes: []domain.Hole{sealed("", "s1")}}, `"hush"`},
		"secrets and other nulls": {domain.Value{
			JSON: []byte(`{"a": null,"b":null,"c":[null]}`), Holes: []domain.Hole{sealed("/c/0", "s2"), sealed("/a", "s1")},
		}, `{"a": "hush","b":null,"c":["shh"]}`},
		"secret inside a blob": {domain.Value{
			JSON: []byte("null"), Holes: []domain.Hole{blob("", "whole"), sealed("/b/0", "s1")},
		}, `{"a":null,"b":["hush",2]}`},
		"blob in a blob in a blob": {domain.Value{
			JSON: []byte(`{"x":null}`), Holes: []domain.Hole{blob("/x/a/1/c", "leaf"), blob("/x/a", "inner"), blob("/x", "whole"), sealed("/x/a/0", "s2")},
		}, `{"x":{"a":["shh", {"c":7}],"b":[null,2]}}`},
		"the same blob twice": {domain.Value{
			JSON: []byte(`[null,null]`), Holes: []domain.Hole{blob("/0", "leaf"), blob("/1", "leaf")},
		}, `[7,7]`},
		"escaped keys": {domain.Value{
			JSON: []byte(`{"\u0061/~":{"":null}}`), Holes: []domain.Hole{sealed("/a~1~0/", "s1")},
		}, `{"\u0061/~":{"":"hush"}}`},
	} {
		got, err := c.in.Fill(filler(content))
		require.NoError(t, err, name)
		require.Equal(t, c.want, string(got), name)
	}
}

func TestValue_FillRefusesHolesWithoutAPlace(t *testing.T) {
	for _, holes := range [][]domain.Hole{
		{sealed("/b", "s1")}, {sealed("/n", "s1")}, {blob("/b", "leaf")}, {blob("/a/x", "leaf")}, {sealed("/a", "s1"), sealed("/c", "s1")},
	} {
		_, err := domain.Value{JSON: []byte(`{"a":null,"n":1}`), Holes: holes}.Fill(filler(map[string]string{"s1": "1", "leaf": "1"}))
		require.ErrorIs(t, err, domain.ErrCorrupt, "%v", holes)
	}
	_, err := domain.Value{JSON: []byte(`null`), Holes: []domain.Hole{sealed("", "gone")}}.Fill(filler(nil))
	require.EqualError(t, err, "no content for gone")
}

// A caller may send one long key, many nulls in it and one secret: the time must stay in
// proportion to the bytes. Building a pointer for every null took minutes for a body of 4 MB.
func TestValue_FillIsLinearInHostileJSON(t *testing.T) {
	const n = 100_000
	key := strings.Repeat("k", 500_000)
	doc := `{"` + key + `":[` + strings.Repeat("null,", n) + `null],"t":null}`
	v := domain.Value{JSON: []byte(doc), Holes: []domain.Hole{sealed("/t", "s1"), sealed(fmt.Sprintf("/%s/%d", key, n), "s2")}}
	began := time.Now()
	got, err := v.Fill(filler(map[string]string{"s1": "1", "s2": "2"}))
	require.NoError(t, err)
	require.Less(t, time.Since(began), 5*time.Second)
	require.Equal(t, `null,2],"t":1}`, string(got[len(got)-14:]))
}

// Ten thousand secrets in one object: a pass over all holes per member took a second.
func TestValue_MembersIsLinearInHoles(t *testing.T) {
	var o domain.Object
	const n = 20_000
	for i := range n {
		o.Add(fmt.Sprintf("key-%05d", i), domain.Value{JSON: []byte("null"), Holes: []domain.Hole{sealed("", "s")}})
	}
	began := time.Now()
	members := o.Value().Members()
	require.Less(t, time.Since(began), 2*time.Second)
	require.Len(t, members, n)
	require.Equal(t, []domain.Hole{sealed("", "s")}, members[n-1].Value.Holes)
}

func TestText_QuotesAnything(t *testing.T) {
	require.Equal(t, `"\"\u0000<é"`, string(domain.Text("\"\x00<é").JSON))
	require.NoError(t, rawjson.Check(domain.Text("\xff").JSON, 1))
	require.True(t, domain.Value{}.Absent())
	require.False(t, domain.Null().Absent())
}
