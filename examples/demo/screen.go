package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// screen prints for people. Colours only go to terminals.
type screen struct {
	out    io.Writer
	colour bool
	scenes int
}

func newScreen(out io.Writer, colour bool) *screen { return &screen{out: out, colour: colour} }

// isTerminal reports whether f shows colours (https://no-color.org).
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (s *screen) paint(code, text string) string {
	if !s.colour || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *screen) line(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

// scene begins a part.
func (s *screen) scene(title string) {
	s.scenes++
	s.line("\n%s", s.paint(bold, fmt.Sprintf("== %d. %s", s.scenes, title)))
}

// command shows what to type for the same.
func (s *screen) command(text string) { s.line("   %s", s.paint(cyan, "$ "+text)) }

// ok says that something was checked and is as promised.
func (s *screen) ok(format string, args ...any) {
	s.line("   %s %s", s.paint(green, "ok"), fmt.Sprintf(format, args...))
}

// compact is JSON on one line of at most most runes.
func compact(raw json.RawMessage, most int) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return clip(string(raw), most)
	}
	return clip(b.String(), most)
}

func clip(text string, most int) string {
	text = strings.Join(strings.Fields(text), " ")
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}
