package config

import (
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"time"
)

// mask stands for a secret wherever one would be printed.
const mask = "***"

// Secret is a value that no way of printing gives away; Reveal hands it out.
type Secret string

// Reveal returns the value itself, for the one place that needs it.
func (s Secret) Reveal() string { return string(s) }

// String returns the mask, or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// Format masks every verb; with String alone a wrong one such as %d would show the value.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText masks encodings, JSON among them.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue masks log attributes.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Redacted renders c for the log at start: one "key=value" a line in the order of the settings,
// secrets as ***.
func (c Config) Redacted() string {
	var b strings.Builder
	for _, a := range c.attrs() {
		fmt.Fprintf(&b, "%s=%s\n", a.Key, a.Value)
	}
	return b.String()
}

// LogValue renders c as one attribute per setting, secrets as ***.
func (c Config) LogValue() slog.Value { return slog.GroupValue(c.attrs()...) }

func (c Config) attrs() []slog.Attr {
	v := reflect.ValueOf(c)
	var out []slog.Attr
	for _, s := range settings() {
		out = append(out, slog.String(s.Key(), printed(v.FieldByIndex(s.Path))))
	}
	return out
}

func printed(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case time.Duration:
		return value.String()
	case []string:
		return strings.Join(value, ",")
	default:
		return fmt.Sprint(value)
	}
}
