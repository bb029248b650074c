package service

import (
	"fmt"
	"net/http"
	"slices"
)

type customer struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Tier  string `json:"tier"`
	Email string `json:"email"`
}

type ticket struct {
	ID       string `json:"id"`
	Subject  string `json:"subject"`
	Status   string `json:"status"`
	Assigned string `json:"assigned_to"`
	Key      string `json:"-"`
}

func (s *Service) listCustomers(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{"customers": s.customers})
}

func (s *Service) getCustomer(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.customers, func(c customer) bool { return c.ID == r.PathValue("id") })
	if i < 0 {
		fail(w, http.StatusNotFound, "no customer %q", r.PathValue("id"))
		return
	}
	answer(w, http.StatusOK, s.customers[i])
}

func (s *Service) addCustomer(w http.ResponseWriter, r *http.Request) {
	var c customer
	if !read(w, r, &c) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if full(w, len(s.customers)) {
		return
	}
	c.ID = fmt.Sprintf("c-%d", 400+len(s.customers))
	s.customers = append(s.customers, c)
	answer(w, http.StatusCreated, c)
}

func (s *Service) listTickets(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{"tickets": append([]ticket{}, s.tickets...)})
}

// addTicket is the flaky one: each new Idempotency-Key is told 503 once. A key that has made its
// ticket gets the same ticket again.
func (s *Service) addTicket(w http.ResponseWriter, r *http.Request) {
	var t ticket
	if !read(w, r, &t) {
		return
	}
	key := r.Header.Get("Idempotency-Key")
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.tickets, func(t ticket) bool { return key != "" && t.Key == key }); i >= 0 {
		answer(w, http.StatusOK, s.tickets[i])
		return
	}
	if full(w, len(s.tickets)) || full(w, len(s.failed)) {
		return
	}
	if !s.failed[key] {
		s.failed[key] = true
		fail(w, http.StatusServiceUnavailable, "the CRM is busy, try again")
		return
	}
	delete(s.failed, key)
	t.ID, t.Status, t.Assigned, t.Key = fmt.Sprintf("t-%d", 9001+len(s.tickets)), "open", "first-line", key
	s.tickets = append(s.tickets, t)
	answer(w, http.StatusCreated, t)
}
