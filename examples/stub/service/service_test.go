package service

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// ask sends one request; header pairs follow the body.
func ask(t *testing.T, s *Service, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestService_Chat(t *testing.T) {
	s := New()
	body := `{"model":"sentiment-v2","messages":[{"role":"user","content":"It is broken, we have a meeting in an hour"}]}`
	require.Equal(t, http.StatusUnauthorized, ask(t, s, "POST", "/v1/chat/completions", body).Code)
	first := ask(t, s, "POST", "/v1/chat/completions", body, "Authorization", "Bearer k")
	require.Equal(t, http.StatusOK, first.Code)
	require.Contains(t, first.Body.String(), "mood: upset; urgency: high")
	require.Equal(t, first.Body.String(), ask(t, s, "POST", "/v1/chat/completions", body, "Authorization", "Bearer k").Body.String())
	require.Equal(t, http.StatusBadRequest, ask(t, s, "POST", "/v1/chat/completions", `{`, "Authorization", "Bearer k").Code)
}

func TestService_TicketsAreFlakyOncePerKey(t *testing.T) {
	s := New()
	post := func(key string) *httptest.ResponseRecorder {
		return ask(t, s, "POST", "/crm/tickets", `{"subject":"x"}`, "Authorization", "Bearer k", "Idempotency-Key", key)
	}
	require.Equal(t, http.StatusServiceUnavailable, post("a").Code)
	require.Equal(t, http.StatusCreated, post("a").Code)
	require.Contains(t, post("a").Body.String(), "t-9001", "the same ticket again")
	require.Equal(t, http.StatusServiceUnavailable, post("b").Code)
	require.Equal(t, 1, strings.Count(ask(t, s, "GET", "/crm/tickets", "", "Authorization", "Bearer k").Body.String(), "t-9"))
}

func TestService_NotificationsCountOncePerKey(t *testing.T) {
	s := New()
	require.Contains(t, ask(t, s, "POST", "/notifications", `{}`, "Idempotency-Key", "a").Body.String(), `"duplicate":false`)
	require.Contains(t, ask(t, s, "POST", "/notifications?delay_ms=1", `{}`, "Idempotency-Key", "a").Body.String(), `"duplicate":true`)
	list := ask(t, s, "GET", "/notifications", "").Body.String()
	require.Contains(t, list, `"requests":2`)
	require.NotContains(t, list, "n-2")
	require.Equal(t, http.StatusBadRequest, ask(t, s, "POST", "/notifications?delay_ms=1e9", `{}`).Code)
}

func TestService_ValidationSaysWhatIsWrong(t *testing.T) {
	s := New()
	batch := ask(t, s, "GET", "/data/batches/2026-11-21", "").Body.String()
	known := ask(t, s, "GET", "/data/accounts", "").Body.String()
	got := ask(t, s, "POST", "/data/validate", `{"batch":`+batch+`,"accounts":`+known+`,"threshold":0.02}`)
	require.Equal(t, http.StatusUnprocessableEntity, got.Code)
	require.Contains(t, got.Body.String(), `"valid":false`)
	require.Contains(t, got.Body.String(), "missing currency")
	got = ask(t, s, "POST", "/data/validate", `{"batch":`+batch+`,"accounts":`+known+`,"threshold":0.5}`)
	require.Equal(t, http.StatusOK, got.Code)
}
