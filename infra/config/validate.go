package config

import (
	"fmt"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Problem is one thing wrong with one setting. Neither text holds a secret.
type Problem struct {
	Field string // the setting's key, such as effects_max; or the file's name
	Fault string // what is wrong with its value
	Fix   string // what to do about it
}

// Error renders "field: fault; fix".
func (p Problem) Error() string {
	if p.Fix == "" {
		return p.Field + ": " + p.Fault
	}
	return p.Field + ": " + p.Fault + "; " + p.Fix
}

// Problems is all that is wrong with a configuration, in the order of the settings.
type Problems []Problem

// Error renders one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// err is nil for no problem, so that a nil Problems never becomes a non-nil error.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// Validate reports everything that is wrong with c at once, as Problems, or nil.
func (c Config) Validate() error {
	var ps Problems
	v := reflect.ValueOf(c)
	for _, s := range settings() {
		if fault, fix := s.check(v.FieldByIndex(s.Path)); fault != "" {
			ps = append(ps, Problem{s.Key(), fault, fix})
		}
	}
	add := func(field, fault, fix string) { ps = append(ps, Problem{field, fault, fix}) }

	if _, port, err := net.SplitHostPort(c.HTTP.Addr); err != nil || !portOK(port, 0) {
		add("addr", fmt.Sprintf("%q is not an address to listen on", c.HTTP.Addr), "write host:port with a port of 0..65535, such as 127.0.0.1:8080 or :8080")
	}
	for _, origin := range c.HTTP.CORSOrigins {
		if !originOK(origin) {
			add("cors_origins", fmt.Sprintf("%q is not an origin", origin), "write scheme://host[:port] without a path, or * for any")
		}
	}
	ps = append(ps, c.checkGuard()...)
	ps = append(ps, c.checkLog()...)
	ps = append(ps, c.checkPort()...)
	ps = append(ps, c.checkCluster()...)
	ps = append(ps, c.checkRelay()...)
	ps = append(ps, c.checkTracing()...)
	ps = append(ps, c.checkBus()...)
	if strings.TrimSpace(c.Storage.Data) == "" {
		add("data", "is empty", "name a folder, such as ./data")
	}
	for _, entry := range c.Outbound.Allow {
		if _, _, ok := parseAllow(entry); !ok {
			add("outbound_allow", fmt.Sprintf("%q is neither a range nor host:port", entry), "write a CIDR such as 10.0.0.0/8, an address, or a host with a port such as db.internal:5432")
		}
	}
	if text := c.Views.URL.Reveal(); text != "" {
		// The value is not repeated: it may hold a password.
		if u, err := url.Parse(text); err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Host == "" && u.Query().Get("host") == "" {
			add("views", "is not a Postgres URL", "write it like postgres://user:password@host:5432/database, or leave it empty for SQLite files in the data folder")
		}
	}
	if c.LLM.BaseURL != "" { // empty: the deterministic provider answers
		// The value is not repeated: it may hold a password.
		if u, err := url.Parse(c.LLM.BaseURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			add("llm_base_url", "is not an http or https URL", "write it like https://api.openai.com/v1")
		} else if u.User != nil {
			add("llm_base_url", "holds a user name or password", "give the key as llm_api_key")
		}
	}
	return ps.err()
}

// check compares a value with the bounds and words of its setting.
func (s setting) check(v reflect.Value) (fault, fix string) {
	switch value := v.Interface().(type) {
	case time.Duration:
		low, high := mustDuration(s.Min), mustDuration(s.Max)
		if value < low || value > high {
			return fmt.Sprintf("%s is outside %s..%s", value, s.Min, s.Max), s.setIt()
		}
	case int:
		low, high := mustInt(s.Min), mustInt(s.Max)
		if value < low || value > high {
			return fmt.Sprintf("%d is outside %d..%d %s", value, low, high, s.Unit), s.setIt()
		}
	case string:
		if s.OneOf != nil && !slices.Contains(s.OneOf, value) {
			return fmt.Sprintf("%q is not known", value), "choose one of " + strings.Join(s.OneOf, ", ")
		}
	}
	return "", ""
}

func (s setting) setIt() string {
	return fmt.Sprintf("choose a value in that range with --%s, %s or the file's %s", s.Flag, s.Env(), s.Key())
}

// mustDuration and mustInt read bounds from tags: a bad one is a programmer's error that Default's
// test finds, since it validates every setting.
func mustDuration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		panic("config: bad bound " + text)
	}
	return d
}

func mustInt(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic("config: bad bound " + text)
	}
	return n
}

func portOK(port string, low int) bool {
	n, err := strconv.Atoi(port)
	return err == nil && n >= low && n <= 65535 && !strings.HasPrefix(port, "+")
}

func originOK(origin string) bool {
	if origin == "*" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Scheme != "" && u.Host != "" && u.Path == "" && u.RawQuery == "" && u.Fragment == "" && u.User == nil
}
