package intakehttp

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"

	"quipu/commands/definition"
	"quipu/domain"
	"quipu/domain/rawjson"
)

// refused reports whether err is a refusal that names a place and says something.
func refused(err error) bool {
	var e *domain.Error
	return errors.As(err, &e) && (e.Kind == domain.KindInvalid || e.Kind == domain.KindUnprocessable) && e.Field != "" && e.Message != ""
}

// Bodies of commands: what is read is what was written, and each fault has its place.
func FuzzControlBodies(f *testing.F) {
	for _, s := range []string{
		"", " ", "null", "{}", "[]", `{"reason":"x"}`, `{"reason":1}`, `{"from":["a",1,null]}`, `{"from":"a"}`, `{"from":{}}`, `{"approver":"\ud800"}`, `{"slug":"a"}`, `{"slug":"` + strings.Repeat("a", 300) + `"}`,
		`{"a":1,"a":2}`, "\xff", strings.Repeat("[", 200), `1e999999`, `{"reason":"x"} {}`, `{"name":"\u0000"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var faults definition.Faults
		o, err := optionalObject(body, &faults)
		if err != nil && !refused(err) {
			t.Fatalf("%q: %v", body, err)
		}
		for _, key := range []string{"reason", "approver", "comment", "node_id", "from", ""} {
			if text := o.text(key, &faults); text != "" && rawjson.KindOf(o.get(key)) != rawjson.String {
				t.Fatalf("%q has %s %q", body, key, text)
			}
			for _, text := range o.texts(key, &faults) {
				if !strings.Contains(string(body), `"`) {
					t.Fatalf("%q has %q", body, text)
				}
			}
		}
		if err := definition.Refusal(domain.KindUnprocessable, "INVALID_BODY", faults.List, nil); err != nil && !refused(err) {
			t.Fatalf("%q: %v", body, err)
		}
		if payload, err := payloadOf(body); err == nil && rawjson.Check(payload, domain.JSONDepthMax) != nil {
			t.Fatalf("payload %q", payload)
		} else if err != nil && !refused(err) {
			t.Fatalf("%q: %v", body, err)
		}
		if _, err := parseEndpoint(body); err != nil && !refused(err) {
			t.Fatalf("%q: %v", body, err)
		}
	})
}

// An Idempotency-Key is refused by its name, or gives the same id for the same request and another for any other.
func FuzzIdempotencyKey(f *testing.F) {
	for _, s := range []string{"", "k", strings.Repeat("k", 255), strings.Repeat("k", 256), "é", "a b", " a", "a\x00", "\t", "a,b", `"quoted"`} {
		f.Add(s, "/a", "body")
	}
	app := fiber.New()
	type result struct {
		repeat
		err error
	}
	var got result
	app.Post("/*", func(c *fiber.Ctx) error {
		r, err := repeatOf(c, c.Body())
		got = result{r, err}
		return nil
	})
	ask := func(t *testing.T, key, path, body string) (result, bool) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.URL.Path = "/" + strings.TrimPrefix(path, "/")
		r.Header["Idempotency-Key"] = []string{key}
		got = result{}
		resp, err := app.Test(r, -1)
		if err != nil {
			return got, false // nothing that a client can send
		}
		_ = resp.Body.Close()
		return got, resp.StatusCode == http.StatusOK && got.body != ""
	}
	f.Fuzz(func(t *testing.T, key, path, body string) {
		first, ok := ask(t, key, path, body)
		if !ok {
			return
		}
		if first.err != nil {
			var e *domain.Error
			if !errors.As(first.err, &e) || e.Field != "header/Idempotency-Key" || first.id() != "" {
				t.Fatalf("%q: %v", key, first.err)
			}
			return
		}
		if trimmed := strings.TrimSpace(key); (trimmed == "") != (first.id() == "") || len(trimmed) > idempotencyKeyBytesMax {
			t.Fatalf("%q gives id %q", key, first.id())
		}
		if again, _ := ask(t, key, path, body); again != first {
			t.Fatalf("%q gives %+v and %+v", key, first, again)
		}
		if other, ok := ask(t, key+"x", path, body); ok && other.err == nil && first.id() != "" && other.id() == first.id() {
			t.Fatalf("%q and %[1]qx are the same", key)
		}
		if other, ok := ask(t, key, path, body+"x"); ok && (other.body == first.body || other.id() != first.id()) {
			t.Fatalf("another body gives %+v beside %+v", other, first)
		}
	})
}
