package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Table renders all settings as a Markdown table, one row each, for docs/operations.md.
func Table() string {
	var b strings.Builder
	b.WriteString("| flag | environment | default | unit, allowed | meaning |\n|---|---|---|---|---|\n")
	for _, s := range settings() {
		def := "empty"
		if s.Default != "" {
			def = "`" + s.Default + "`"
		}
		unit := s.Unit
		if allowed := s.allowed(); allowed != "" {
			unit = strings.TrimPrefix(unit+"; "+allowed, "; ")
		}
		if s.Secret() {
			unit = "secret"
		}
		fmt.Fprintf(&b, "| `--%s` | `%s` | %s | %s | %s |\n", s.Flag, s.Env(), def, unit, s.Help)
	}
	return b.String()
}

// allowed says in a few words which values the setting takes, or nothing if any.
func (s setting) allowed() string {
	switch {
	case s.OneOf != nil:
		return strings.Join(s.OneOf, ", ")
	case s.Type.Kind() == reflect.Bool:
		return "true, false"
	case s.Min != "":
		return s.Min + " to " + s.Max
	default:
		return ""
	}
}
