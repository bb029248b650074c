package browsertest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/internal/proctest"
)

// Swagger UI works with nothing but the server: it lists every operation, answers "try it out", and asks
// nobody else for anything.
func TestS2_4_Chromium_SwaggerUIOffline(t *testing.T) {
	t.Parallel()
	s := proctest.Start(t, proctest.Options{})
	origin := "http://" + s.Addr()
	var document struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	require.NoError(t, s.Client().Must(t, http.MethodGet, "/openapi.json", nil).JSON(&document))
	operations := 0
	for _, methods := range document.Paths {
		for method := range methods {
			if strings.Contains(" get put post delete patch head options trace ", " "+method+" ") {
				operations++
			}
		}
	}
	require.Positive(t, operations)

	p := NewContext(t).Open(t, origin+"/docs")
	count := func(selector string) (n int) {
		p.Eval(t, "document.querySelectorAll("+quoted(selector)+").length", &n)
		return n
	}
	p.AwaitThat(t, "all operations are listed", func() bool { return count(".opblock") == operations })

	// Opens GET /health/live, presses "Try it out", then "Execute", and reads the status of the answer.
	const live = `[...document.querySelectorAll(".opblock-get")].find((b) => b.querySelector("[data-path]").dataset.path === "/health/live")`
	press := func(selector string) {
		p.AwaitThat(t, selector, func() (there bool) {
			p.Eval(t, "!!"+live+".querySelector("+quoted(selector)+")", &there)
			return there
		})
		p.Eval(t, live+".querySelector("+quoted(selector)+").click()", nil)
	}
	press(".opblock-summary-control")
	press(".try-out__btn")
	press(".execute")
	p.AwaitThat(t, "the answer is shown", func() (ok bool) {
		p.Eval(t, live+`.querySelector(".live-responses-table tbody .response-col_status")?.textContent.trim().startsWith("200") ?? false`, &ok)
		return ok
	})
	require.Contains(t, p.Requests(), "GET "+origin+"/health/live")

	p.Eval(t, `setTimeout(() => document.querySelector('a[href="/docs/sockets"]').click())`, nil)
	p.AwaitThat(t, "the page about sockets", func() (ok bool) {
		err := p.TryEval(t, `document.readyState === "complete" && document.querySelectorAll("main table").length > 0`, &ok)
		return err == nil && ok
	})
	for _, request := range p.Requests() {
		_, url, _ := strings.Cut(request, " ")
		require.True(t, strings.HasPrefix(url, origin+"/") || strings.HasPrefix(url, "data:"), request)
	}
	require.Empty(t, p.Of("noted", 0), "nothing missing and nothing that the page's policy forbids")
	noExceptions(t, p.Reports)
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}
