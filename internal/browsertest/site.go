package browsertest

import (
	"embed"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

//go:embed clients
var clients embed.FS

// Params say which client runs and what it is given; see clients/harness.js.
type Params map[string]any

// Site is a small web server for pages that hold a client, on an origin of its own.
type Site struct {
	// Origin is the address by number, which is the same site as a server on 127.0.0.1 at another port.
	Origin string
	// Foreign is the same server by name: another site than 127.0.0.1, so that no cookie goes along.
	Foreign string
}

// NewSite starts a site; it ends with the test.
func NewSite(t testing.TB) *Site {
	mux := http.NewServeMux()
	mux.Handle("/clients/", http.FileServerFS(clients))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		var page strings.Builder
		page.WriteString("<!doctype html><title>client</title><link rel=icon href=data:,>")
		for _, name := range scriptNames() {
			page.WriteString(`<script src="/clients/` + name + `"></script>`)
		}
		_, _ = w.Write([]byte(page.String()))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return &Site{Origin: server.URL, Foreign: strings.Replace(server.URL, "127.0.0.1", "localhost", 1)}
}

// scriptNames are the clients and, last, what starts one.
func scriptNames() []string {
	entries, err := clients.ReadDir("clients")
	if err != nil {
		panic(err)
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".js") && name != "harness.js" {
			names = append(names, name)
		}
	}
	return append(names, "harness.js")
}

// Scripts is all of it as one script, for a page of somebody else's.
func Scripts() string {
	var b strings.Builder
	for _, name := range scriptNames() {
		script, err := clients.ReadFile("clients/" + name)
		if err != nil {
			panic(err)
		}
		b.Write(script)
		b.WriteString("\n;\n")
	}
	return b.String()
}

// Page is the address at which a page below base starts a client.
func (p Params) Page(base string) string {
	raw, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return base + "/#" + url.PathEscape(string(raw))
}
