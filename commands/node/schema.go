package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"quipu/domain/rawjson"
)

// refuseLoad is the loader of schemas: each is whole, and none reads a file or the network. The
// library's own would open file:// URLs.
type refuseLoad struct{}

func (refuseLoad) Load(url string) (any, error) {
	return nil, errors.New("the schema refers to " + url + "; it must stand alone")
}

// FaultsMax is how many faults of one document are told.
const FaultsMax = 100

// Schema is a JSON Schema, ready to check documents. Safe for concurrent use.
type Schema struct{ compiled *jsonschema.Schema }

// compileSchema prepares a type's JSON Schema; nil for none.
func compileSchema(name string, raw json.RawMessage) (*Schema, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	return compile("urn:quipu:node:"+name, raw)
}

func compile(url string, raw json.RawMessage) (*Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(refuseLoad{})
	c.AssertFormat()
	c.UseRegexpEngine(boundedPattern)
	if err := c.AddResource(url, doc); err != nil {
		return nil, err
	}
	compiled, err := c.Compile(url)
	if err != nil {
		return nil, err
	}
	return &Schema{compiled}, nil
}

// CheckConfig tells how a config breaks the type's schema: one fault for each place, with pointers
// relative to the config. A string that holds a template is right everywhere, since its value is not
// known yet. Messages never quote what stands in the config.
func (t *Type) CheckConfig(config json.RawMessage) []Fault {
	if t.schema == nil {
		return nil
	}
	return t.schema.check(config, templateAt)
}

// Check tells how a document breaks the schema, as CheckConfig does, but that a text with {{ in it
// is a text.
func (s *Schema) Check(document json.RawMessage) []Fault {
	return s.check(document, func(any, []string) bool { return false })
}

// check passes over what stands where excused says so.
func (s *Schema) check(raw json.RawMessage, excused func(doc any, at []string) bool) []Fault {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var doc any
	if err := decoder.Decode(&doc); err != nil {
		return []Fault{{Message: "is not acceptable JSON"}}
	}
	doc = tame(doc)
	var invalid *jsonschema.ValidationError
	if err := s.compiled.Validate(doc); !errors.As(err, &invalid) {
		return nil
	}
	var faults []Fault
	told := map[string]bool{}
	collect(invalid, func(at []string) bool { return excused(doc, at) }, func(e *jsonschema.ValidationError) {
		if len(faults) == FaultsMax {
			return // wording the rest is work for nobody
		}
		for _, f := range faultsOf(e) {
			if !told[f.Pointer] && len(faults) < FaultsMax {
				told[f.Pointer] = true
				faults = append(faults, f)
			}
		}
	})
	return faults
}

// tame replaces numbers that no float64 holds: exact arithmetic on 1e999999 would take seconds.
func tame(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = tame(v[k])
		}
	case []any:
		for i := range v {
			v[i] = tame(v[i])
		}
	case json.Number:
		f, err := strconv.ParseFloat(string(v), 64)
		switch {
		case err != nil || math.IsInf(f, 0):
			return json.Number(strconv.FormatFloat(math.Copysign(math.MaxFloat64, f), 'g', -1, 64))
		case f == 0, math.Abs(f) < 1e-300:
			return json.Number("0")
		case len(v) > 40:
			return json.Number(strconv.FormatFloat(f, 'g', -1, 64))
		}
	}
	return v
}

// collect reports the leaves of an error tree and tells whether any counts. Of alternatives one that
// only what is excused stands against is enough.
func collect(e *jsonschema.ValidationError, excused func(at []string) bool, report func(leaf *jsonschema.ValidationError)) bool {
	if excused(e.InstanceLocation) {
		return false
	}
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf:
		for _, c := range e.Causes {
			if !collect(c, excused, func(*jsonschema.ValidationError) {}) {
				return false
			}
		}
		report(e)
		return true
	}
	if len(e.Causes) == 0 {
		report(e)
		return true
	}
	counts := false
	for _, c := range e.Causes {
		counts = collect(c, excused, report) || counts
	}
	return counts
}

func templateAt(doc any, at []string) bool {
	for _, token := range at {
		switch v := doc.(type) {
		case map[string]any:
			doc = v[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(v) {
				return false
			}
			doc = v[i]
		default:
			return false
		}
	}
	s, ok := doc.(string)
	return ok && strings.Contains(s, "{{")
}

func pointerTo(at []string) string {
	var b strings.Builder
	for _, token := range at {
		b.WriteByte('/')
		b.WriteString(rawjson.EscapeKey(token))
	}
	return b.String()
}

// faultsOf words a leaf. The library's own words may quote the value.
func faultsOf(e *jsonschema.ValidationError) []Fault {
	at := pointerTo(e.InstanceLocation)
	one := func(format string, args ...any) []Fault { return []Fault{{at, fmt.Sprintf(format, args...)}} }
	switch k := e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf:
		return one("fits none of the forms that are allowed here")
	case *kind.Required:
		var out []Fault
		for _, name := range k.Missing {
			out = append(out, Fault{at + "/" + rawjson.EscapeKey(name), "is required"})
		}
		return out
	case *kind.AdditionalProperties:
		var out []Fault
		for _, name := range k.Properties {
			out = append(out, Fault{at + "/" + rawjson.EscapeKey(name), "is no field of this node type; remove it"})
		}
		return out
	case *kind.Type:
		return one("must be of type %s", strings.Join(k.Want, " or "))
	case *kind.Enum:
		return one("must be one of %s", words(k.Want))
	case *kind.Const:
		return one("must be %s", words([]any{k.Want}))
	case *kind.MinLength:
		if k.Want == 1 {
			return one("must not be empty")
		}
		return one("must have at least %d characters", k.Want)
	case *kind.MaxLength:
		return one("must have at most %d characters", k.Want)
	case *kind.MinItems:
		return one("must have at least %d items", k.Want)
	case *kind.MaxItems:
		return one("must have at most %d items", k.Want)
	case *kind.Minimum:
		return one("must be at least %s", plainNumber(k.Want))
	case *kind.Maximum:
		return one("must be at most %s", plainNumber(k.Want))
	case *kind.ExclusiveMinimum:
		return one("must be more than %s", plainNumber(k.Want))
	case *kind.ExclusiveMaximum:
		return one("must be less than %s", plainNumber(k.Want))
	case *kind.Pattern:
		return one("must match the pattern %s", clipped(k.Want))
	case *kind.Format:
		return one("must be a valid %s", k.Want)
	}
	return one("breaks the rule %q of the type's schema", strings.Join(e.ErrorKind.KeywordPath(), "/"))
}

func plainNumber(r *big.Rat) string {
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// wordsBytesMax is how much of a schema's own values a message quotes.
const wordsBytesMax = 1_000

// words lists values of a schema, as many as fit.
func words(values []any) string {
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteString(", ")
		}
		if b.Len() > wordsBytesMax {
			return b.String() + "…"
		}
		text, isText := v.(string)
		if isText && len(text) > wordsBytesMax { // encoding it whole would be work for nobody
			v = clipped(text)
		}
		encoded, _ := json.Marshal(v)
		b.WriteString(clipped(string(encoded)))
	}
	return b.String()
}

func clipped(text string) string {
	if len(text) <= wordsBytesMax {
		return text
	}
	return strings.ToValidUTF8(text[:wordsBytesMax], "") + "…"
}
