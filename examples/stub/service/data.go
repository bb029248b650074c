package service

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

type record struct {
	ID       int     `json:"id"`
	Account  string  `json:"account"`
	Amount   float64 `json:"amount"`
	Currency string  `json:"currency"`
}

var accounts = []string{"north", "south", "web"}

// batch makes up the 40 records of a day. Every ninth has no currency and every thirteenth a
// negative amount, so that any sensible threshold is missed.
func (s *Service) batch(w http.ResponseWriter, r *http.Request) {
	records := make([]record, 40)
	for i := range records {
		records[i] = record{ID: i + 1, Account: accounts[i%len(accounts)], Amount: float64(1000+37*i) / 100, Currency: "EUR"}
		if i%9 == 8 {
			records[i].Currency = ""
		}
		if i%13 == 12 {
			records[i].Amount = -records[i].Amount
		}
	}
	answer(w, http.StatusOK, map[string]any{"day": r.PathValue("day"), "records": records})
}

func (s *Service) accounts(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"accounts": accounts})
}

// validate checks records and answers 200 if at most threshold (a part of 1) of them are bad, else
// 422 with what was found.
func (s *Service) validate(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Batch     struct{ Records []record }
		Known     struct{ Accounts []string } `json:"accounts"`
		Threshold float64
	}
	if !read(w, r, &q) {
		return
	}
	bad, faults := 0, map[string]int{}
	for _, rec := range q.Batch.Records {
		var found []string
		if rec.Currency == "" {
			found = append(found, "missing currency")
		}
		if rec.Amount <= 0 {
			found = append(found, "amount not above zero")
		}
		if !slices.Contains(q.Known.Accounts, rec.Account) {
			found = append(found, "unknown account")
		}
		for _, f := range found {
			faults[f]++
		}
		if len(found) > 0 {
			bad++
		}
	}
	total := len(q.Batch.Records)
	result := map[string]any{"valid": true, "records": total, "bad": bad, "faults": faults, "threshold": q.Threshold}
	if float64(bad) > q.Threshold*float64(total) {
		result["valid"] = false
		result["message"] = fmt.Sprintf("%d of %d records are bad", bad, total)
		answer(w, http.StatusUnprocessableEntity, result)
		return
	}
	answer(w, http.StatusOK, result)
}

func (s *Service) load(w http.ResponseWriter, r *http.Request) {
	var q struct{ Batch struct{ Records []record } }
	if !read(w, r, &q) {
		return
	}
	answer(w, http.StatusOK, map[string]any{"loaded": len(q.Batch.Records)})
}

func (s *Service) listReports(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{"reports": append([]json.RawMessage{}, s.reports...)})
}

func (s *Service) addReport(w http.ResponseWriter, r *http.Request) {
	var body json.RawMessage
	if !read(w, r, &body) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if full(w, len(s.reports)) {
		return
	}
	s.reports = append(s.reports, body)
	answer(w, http.StatusCreated, map[string]any{"id": fmt.Sprintf("r-%d", len(s.reports)), "stored": true})
}
