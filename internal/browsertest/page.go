package browsertest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
)

// Page is a tab. What its scripts report is in Reports; an exception that nobody caught is a report of
// kind "exception", and an error that the browser notes on its own, such as something that the page's
// policy forbids, is one of kind "noted".
type Page struct {
	*Reports

	context *Context
	target  string
	session string

	mu       sync.Mutex
	requests []string
}

// Open opens a tab at url. The scripts run in it before any of its own, in this load and in each later
// one.
func (c *Context) Open(t testing.TB, url string, scripts ...string) *Page {
	t.Helper()
	p := &Page{Reports: &Reports{}, context: c}
	var made struct {
		ID string `json:"targetId"`
	}
	call(t, c.tools, "", "Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": c.id}, &made)
	p.target = made.ID
	var attached struct {
		ID string `json:"sessionId"`
	}
	call(t, c.tools, "", "Target.attachToTarget", map[string]any{"targetId": p.target, "flatten": true}, &attached)
	p.session = attached.ID
	c.tools.follow(p.session, p.event)
	for _, method := range []string{"Page.enable", "Runtime.enable", "Network.enable", "Log.enable"} {
		call(t, c.tools, p.session, method, nil, nil)
	}
	call(t, c.tools, p.session, "Runtime.addBinding", map[string]any{"name": "quipuReport"}, nil)
	for _, script := range scripts {
		call(t, c.tools, p.session, "Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": script}, nil)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("reports of the page at %s:\n%s", url, p)
			p.picture(t)
		}
	})
	var went struct {
		ErrorText string `json:"errorText"`
	}
	call(t, c.tools, p.session, "Page.navigate", map[string]any{"url": url}, &went)
	if went.ErrorText != "" {
		t.Fatalf("open %s: %s", url, went.ErrorText)
	}
	return p
}

// event takes what the browser tells about the page.
func (p *Page) event(method string, params json.RawMessage) {
	switch method {
	case "Runtime.bindingCalled":
		var e struct {
			Payload string `json:"payload"`
		}
		if json.Unmarshal(params, &e) == nil {
			p.add([]byte(e.Payload))
		}
	case "Runtime.exceptionThrown":
		var e struct {
			Details struct {
				Text      string `json:"text"`
				Exception struct {
					Description string `json:"description"`
				} `json:"exception"`
			} `json:"exceptionDetails"`
		}
		if json.Unmarshal(params, &e) == nil {
			p.append(Report{Kind: "exception", Message: e.Details.Text + " " + e.Details.Exception.Description})
		}
	case "Log.entryAdded":
		var e struct {
			Entry struct {
				Source, Level, Text, URL string
			} `json:"entry"`
		}
		if json.Unmarshal(params, &e) == nil && e.Entry.Level == "error" {
			p.append(Report{Kind: "noted", Message: e.Entry.Source + ": " + e.Entry.Text + " " + e.Entry.URL})
		}
	case "Network.requestWillBeSent":
		var e struct {
			Request struct {
				Method string `json:"method"`
				URL    string `json:"url"`
			} `json:"request"`
		}
		if json.Unmarshal(params, &e) == nil {
			p.mu.Lock()
			p.requests = append(p.requests, e.Request.Method+" "+e.Request.URL)
			p.mu.Unlock()
		}
	}
}

// picture leaves a picture of the page beside the data folders that failed tests leave.
func (p *Page) picture(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	var shot struct {
		Data []byte `json:"data"`
	}
	if err := p.context.tools.call(ctx, p.session, "Page.captureScreenshot", nil, &shot); err != nil {
		t.Logf("no picture of the page: %v", err) // it may be closed
		return
	}
	file, err := os.CreateTemp("", "quipu-page-*.png")
	if err == nil {
		_, err = file.Write(shot.Data)
		_ = file.Close()
		t.Logf("picture of the page: %s (%v)", file.Name(), err)
	}
}

// Requests are method and URL of every request of the page so far, sockets excepted.
func (p *Page) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// Reload does what the user's reload does.
func (p *Page) Reload(t testing.TB) {
	t.Helper()
	call(t, p.context.tools, p.session, "Page.reload", nil, nil)
}

// Close closes the tab.
func (p *Page) Close(t testing.TB) {
	t.Helper()
	call(t, p.context.tools, "", "Target.closeTarget", map[string]any{"targetId": p.target}, nil)
}

// Eval evaluates an expression in the page, waits if it is a promise, and decodes its value into
// `into` unless that is nil.
func (p *Page) Eval(t testing.TB, expression string, into any) {
	t.Helper()
	if err := p.TryEval(t, expression, into); err != nil {
		t.Fatal(err)
	}
}

// TryEval is Eval for expressions that may throw, and for pages that may be on their way to another.
func (p *Page) TryEval(t testing.TB, expression string, into any) error {
	t.Helper()
	var out struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	defer cancel()
	if err := p.context.tools.call(ctx, p.session, "Runtime.evaluate", map[string]any{
		"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true,
	}, &out); err != nil {
		return err
	}
	if out.Exception != nil {
		return fmt.Errorf("%s: %s %s", expression, out.Exception.Text, out.Exception.Exception.Description)
	}
	if into == nil || len(out.Result.Value) == 0 {
		return nil
	}
	return json.Unmarshal(out.Result.Value, into)
}
