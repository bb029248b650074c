package expression

import (
	"encoding/json"
	"fmt"
	"strings"

	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/rawjson"
)

// Bounds of the templates of one task together. The work and the data of their evaluation have the
// bounds of one expression.
const (
	// TemplatesMax is the most {{ }} in one parameter object.
	TemplatesMax = 1000
	// TemplateSourceBytesMax is the most bytes of expressions in one parameter object.
	TemplateSourceBytesMax = 64 << 10
	// TemplateBytesMax is the most bytes that the templates of one parameter object give.
	TemplateBytesMax = 1 << 20
)

// Templates are the strings of one JSON document that hold {{ expression }}, checked.
//
// A string that is nothing but one {{ expression }} stands for the expression's value, whatever its
// kind. In others each is replaced by text: a string as it is, another value as JSON. The expression
// ends at the first }} outside its quotes and brackets; {{ "{{" }} gives {{.
type Templates struct{ strings []templated }

type templated struct {
	pointer    string
	start, end int
	parts      []templatePart
}

// templatePart is a piece of text, or an expression.
type templatePart struct {
	text    string
	program *Program
	source  string
}

// Place is where the value of a string with templates belongs in the document.
type Place struct {
	Pointer    string
	Start, End int // bytes of the string literal it replaces
	JSON       json.RawMessage
}

// TemplateError says which template is wrong and why. It holds no data of the run.
type TemplateError struct {
	Pointer string // of the string, "" for bounds of the whole
	Source  string // the expression, shortened; "" if it does not end
	Err     error
}

// Error names the place, the expression and the fault.
func (e *TemplateError) Error() string {
	if e.Source == "" {
		return e.Pointer + ": " + e.Err.Error()
	}
	return fmt.Sprintf("%s: {{ %s }}: %s", e.Pointer, e.Source, e.Err)
}

// Unwrap returns the fault.
func (e *TemplateError) Unwrap() error { return e.Err }

func templateFault(pointer, source, format string, args ...any) *TemplateError {
	return &TemplateError{Pointer: pointer, Source: clip(strings.TrimSpace(source)), Err: fmt.Errorf(format, args...)}
}

// ParseTemplates finds and checks the templates in the strings of doc, keys of objects aside. It is
// nil if there is none. doc must be checked JSON and is kept. The error is a *TemplateError, the
// first one in the document.
func ParseTemplates(doc []byte) (*Templates, error) {
	t, faults := parseTemplates(doc, 1)
	if len(faults) > 0 {
		return nil, faults[0]
	}
	return t, nil
}

// templateFaultsMax is how many faults CheckTemplates lists.
const templateFaultsMax = 50

// CheckTemplates lists what is wrong with the templates of params, before anything runs.
func CheckTemplates(params []byte) []node.Fault {
	_, faults := parseTemplates(params, templateFaultsMax)
	out := make([]node.Fault, len(faults))
	for i, f := range faults {
		out[i] = node.Fault{Pointer: f.Pointer, Message: strings.TrimPrefix(f.Error(), f.Pointer+": ")}
	}
	return out
}

func parseTemplates(doc []byte, faultsMax int) (*Templates, []*TemplateError) {
	var t Templates
	var faults []*TemplateError
	count, sources := 0, 0
	err := rawjson.Walk(doc, domain.JSONDepthMax, func(p *rawjson.Path, kind rawjson.Kind, start, end int) bool {
		if kind != rawjson.String {
			return true
		}
		text := rawjson.Unquote(doc[start:end])
		if !strings.Contains(text, "{{") {
			return true
		}
		s := templated{pointer: p.Pointer(), start: start, end: end}
		if fault := s.parse(text); fault != nil {
			faults = append(faults, fault)
			return len(faults) < faultsMax
		}
		for _, part := range s.parts {
			if part.program != nil {
				count++
				sources += len(part.source)
			}
		}
		t.strings = append(t.strings, s)
		return count <= TemplatesMax && sources <= TemplateSourceBytesMax
	})
	switch {
	case err != nil:
		faults = append(faults, &TemplateError{Err: err})
	case count > TemplatesMax:
		faults = append(faults, templateFault("", "", "has more than %d templates", TemplatesMax))
	case sources > TemplateSourceBytesMax:
		faults = append(faults, templateFault("", "", "has templates of more than %d bytes together", TemplateSourceBytesMax))
	case len(faults) == 0 && count == 0:
		return nil, nil
	}
	return &t, faults
}

func (s *templated) parse(text string) *TemplateError {
	for text != "" {
		before, rest, found := strings.Cut(text, "{{")
		if before != "" {
			s.parts = append(s.parts, templatePart{text: before})
		}
		if !found {
			return nil
		}
		end := templateEnd(rest)
		if end < 0 {
			return templateFault(s.pointer, "", "{{ has no }} at its end; close it, or write {{ \"{{\" }} for two braces")
		}
		source := rest[:end]
		program, err := Compile(source)
		if err != nil {
			return &TemplateError{Pointer: s.pointer, Source: clip(strings.TrimSpace(source)), Err: err}
		}
		s.parts = append(s.parts, templatePart{program: program, source: source})
		text = rest[end+2:]
	}
	return nil
}

// templateEnd returns where the }} stands that ends an expression, -1 if nowhere.
func templateEnd(s string) int {
	depth := 0
	var quote byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0 && c == '\\' && quote != '`':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'' || c == '`':
			quote = c
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
		case c == '}' && i+1 < len(s) && s[i+1] == '}':
			return i
		}
	}
	return -1
}

// Pointers are the places of the strings with templates, in the order of the document.
func (t *Templates) Pointers() []string {
	out := make([]string, len(t.strings))
	for i := range t.strings {
		out[i] = t.strings[i].pointer
	}
	return out
}

// Reads tells whether an expression may read the name, so that what none reads need not be loaded.
func (t *Templates) Reads(name string) bool {
	for _, s := range t.strings {
		for _, p := range s.parts {
			if p.program != nil && strings.Contains(p.source, name) {
				return true
			}
		}
	}
	return false
}

// Render evaluates the templates over scope and returns what belongs in their places, in the order
// of the document. The error is a *TemplateError.
func (t *Templates) Render(scope node.Scope) (places []Place, err error) {
	// One machine for all: what it has decoded is decoded once, and the bounds hold for all together.
	m := machine{scope: scope}
	var now *templatePart
	at := ""
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*EvalError)
			if !ok {
				panic(r)
			}
			places, err = nil, &TemplateError{Pointer: at, Source: clip(strings.TrimSpace(now.source)), Err: e}
		}
	}()
	bytes := 0
	for _, s := range t.strings {
		at = s.pointer
		var raw []byte
		if len(s.parts) == 1 {
			now = &s.parts[0]
			raw = m.render(nil, m.again(now.program), 0)
		} else {
			var text strings.Builder
			for i := range s.parts {
				if now = &s.parts[i]; now.program == nil {
					text.WriteString(now.text)
					continue
				}
				text.WriteString(m.str(m.again(now.program)).(string))
				if text.Len() > TemplateBytesMax {
					m.failf("the templates give more than %d bytes", TemplateBytesMax)
				}
			}
			raw = rawjson.Quote(text.String())
		}
		if bytes += len(raw); bytes > TemplateBytesMax {
			m.failf("the templates give more than %d bytes", TemplateBytesMax)
		}
		places = append(places, Place{Pointer: s.pointer, Start: s.start, End: s.end, JSON: raw})
	}
	return places, nil
}
