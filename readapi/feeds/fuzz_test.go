package feeds

import (
	"net/url"
	"strings"
	"testing"

	"quipu/domain"
)

// What a client puts into the query of a socket is followed or refused by the name of its parameter.
func FuzzParseQuery(f *testing.F) {
	const log = domain.LogID("644bdb7e-a5f6-4f73-9fd3-067000e8c6c3")
	for _, s := range []string{
		"", "from=latest", "from=0&after=0", "after=" + domain.Position(7).Cursor(log), "from=" + domain.Position(0).Cursor(log), "from=" + domain.Position(7).Cursor("other"),
		"types=node.started,,completed&node_id=a", "execution_id=exec_", "execution_id=a%00b", "log=other", "types=" + strings.Repeat("x", 3000), "from=%ff",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		q, err := parseQuery(values.Get, log)
		if err != nil {
			for _, one := range split(err) {
				e, ok := one.(*domain.Error) //nolint:errorlint // each is one
				if !ok || e.Message == "" || !strings.HasPrefix(e.Field, "query/") || len(e.Message) > 400 {
					t.Fatalf("%q: %v", query, one)
				}
			}
			return
		}
		if q.latest && q.after != 0 || strings.HasPrefix(values.Get("after"), string(log)) && q.latest {
			t.Fatalf("%q gives %+v", query, q)
		}
		if want := values.Get("execution_id"); (want == "") != (q.executionID == "") {
			t.Fatalf("%q follows %q", query, q.executionID)
		}
	})
}

func split(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}
