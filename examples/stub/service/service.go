// Package service is the stub as an http.Handler. It keeps everything in memory, answers the same
// to the same requests, and remembers idempotency keys, so that a call that was made twice can be
// seen to have counted once.
package service

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Bounds of the stub.
const (
	bodyBytesMax = 1 << 20
	rowsMax      = 10_000 // customers, tickets, notifications, keys: beyond it requests are refused with 507
)

// Service is the stub's state. Make one with New; it may be used by many requests at once.
type Service struct {
	// Pace is how long every answer takes, a model's twice that. Set it before the first request.
	Pace time.Duration

	mux *http.ServeMux

	mu            sync.Mutex
	customers     []customer
	tickets       []ticket
	notifications []*notification
	byKey         map[string]*notification
	failed        map[string]bool // tickets' keys that have had their 503
	reports       []json.RawMessage
}

const overview = `{"routes":[
  "POST /v1/chat/completions       a model (OpenAI's form); needs Authorization: Bearer <anything>",
  "GET  /crm/customers[/{id}]      customers; POST adds one; needs Authorization",
  "GET  /crm/tickets               tickets; POST adds one, after a 503 for each new Idempotency-Key",
  "GET  /notifications             what was delivered; POST delivers once per Idempotency-Key, ?delay_ms=n answers later",
  "GET  /data/batches/{day}        records of a batch",
  "GET  /data/accounts             the accounts they belong to",
  "POST /data/validate             {records, accounts, threshold}: 422 if too many records are bad",
  "POST /data/load                 {records}: takes them in",
  "GET  /reports                   reports; POST adds one, needs Authorization"
]}
`

// New makes a stub with two customers and nothing else.
func New() *Service {
	s := &Service{
		mux:    http.NewServeMux(),
		byKey:  map[string]*notification{},
		failed: map[string]bool{},
		customers: []customer{
			{ID: "c-204", Name: "Harbour Logistics", Tier: "gold", Email: "ops@harbour.example"},
			{ID: "c-311", Name: "Blue Door Books", Tier: "standard", Email: "hello@bluedoor.example"},
		},
	}
	s.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, overview) })
	s.mux.HandleFunc("POST /v1/chat/completions", authorized(s.chat))
	s.mux.HandleFunc("GET /crm/customers", authorized(s.listCustomers))
	s.mux.HandleFunc("GET /crm/customers/{id}", authorized(s.getCustomer))
	s.mux.HandleFunc("POST /crm/customers", authorized(s.addCustomer))
	s.mux.HandleFunc("GET /crm/tickets", authorized(s.listTickets))
	s.mux.HandleFunc("POST /crm/tickets", authorized(s.addTicket))
	s.mux.HandleFunc("GET /notifications", s.listNotifications)
	s.mux.HandleFunc("POST /notifications", s.notify)
	s.mux.HandleFunc("GET /data/batches/{day}", s.batch)
	s.mux.HandleFunc("GET /data/accounts", s.accounts)
	s.mux.HandleFunc("POST /data/validate", s.validate)
	s.mux.HandleFunc("POST /data/load", s.load)
	s.mux.HandleFunc("GET /reports", s.listReports)
	s.mux.HandleFunc("POST /reports", authorized(s.addReport))
	return s
}

// ServeHTTP answers one request.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	r.Body = http.MaxBytesReader(w, r.Body, bodyBytesMax)
	if wait(r, s.Pace) {
		s.mux.ServeHTTP(w, r)
	}
}

// wait returns after d, or with false once nobody waits for the answer any more.
func wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// authorized lets requests with a bearer token through, whatever the token.
func authorized(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "bearer") || strings.TrimSpace(token) == "" {
			fail(w, http.StatusUnauthorized, "send the header Authorization: Bearer <key>")
			return
		}
		next(w, r)
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func fail(w http.ResponseWriter, status int, format string, args ...any) {
	answer(w, status, map[string]any{"error": map[string]any{"message": fmt.Sprintf(format, args...), "code": status}})
}

// read decodes the body into v; if it cannot, the request is answered and read returns false.
func read(w http.ResponseWriter, r *http.Request, v any) bool {
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		fail(w, http.StatusBadRequest, "the body is not the JSON that is expected here: %v", err)
		return false
	}
	return true
}

// full answers for a table that takes no more.
func full(w http.ResponseWriter, rows int) bool {
	if rows < rowsMax {
		return false
	}
	fail(w, http.StatusInsufficientStorage, "the stub holds %d rows and takes no more; restart it", rows)
	return true
}
