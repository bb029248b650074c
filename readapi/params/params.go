// Package params reads the query parameters of a request into typed structs.
//
// A struct says everything about its parameters in tags, so that what is checked and what is
// documented are one thing:
//
//	Limit *int `query:"limit" min:"1" max:"200" doc:"Items per page."`
//
// Types: string (max is bytes, enum lists the words), *int (min, max), *bool, time.Time (RFC 3339 or
// epoch seconds, with fractions), []string (repeatable and comma-separated; max is bytes of each),
// Position, and structs of these, embedded. An empty parameter counts as absent; unknown ones are
// ignored. All faults are reported together, each naming query/<name>.
package params

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"quipu/domain"
)

// Bounds of what is read.
const (
	// TextBytesMax is the longest text without a bound of its own.
	TextBytesMax = 512
	// ListItemsMax is the most items of one repeatable parameter.
	ListItemsMax = 50
)

// Code of every fault found here, but for those of a Position of another log.
const Code = "INVALID_QUERY"

// Set holds the raw parameters of a request by name, in order. Its strings are copies.
type Set map[string][]string

// Read copies the parameters of a request: the framework reuses its memory.
func Read(c *fiber.Ctx) Set {
	s := Set{}
	for k, v := range c.Context().QueryArgs().All() {
		s[string(k)] = append(s[string(k)], string(v))
	}
	return s
}

// Position is a place in a log as clients write it: "<log id>-<16 hex digits>". The zero value means
// absent.
type Position struct {
	Log domain.LogID
	At  domain.Position
}

// Given reports whether the parameter was there.
func (p Position) Given() bool { return p.Log != "" }

// Fault is one wrong parameter.
func Fault(name, message string) error {
	return domain.E(domain.KindUnprocessable, "", "", message).WithField("query/" + name).WithCode(Code)
}

// Bind fills a T from s. Errors: a join of faults (ErrUnprocessable), one for each wrong parameter.
func Bind[T any](s Set) (T, error) {
	var out T
	var errs []error
	target := reflect.ValueOf(&out).Elem()
	for _, f := range planOf(target.Type()) {
		values := present(s[f.Name])
		if len(values) == 0 {
			continue
		}
		if err := f.set(target.FieldByIndex(f.index), values); err != "" {
			errs = append(errs, Fault(f.Name, err))
		}
	}
	return out, errors.Join(errs...)
}

func present(values []string) []string {
	kept := values[:0:0]
	for _, v := range values {
		if v != "" {
			kept = append(kept, v)
		}
	}
	return kept
}

// Param describes one parameter, for documents.
type Param struct {
	Name, Doc string
	Type      reflect.Type
	Min, Max  int
	Enum      []string
	index     []int
}

// Describe lists the parameters of T in order.
func Describe[T any]() []Param { return planOf(reflect.TypeFor[T]()) }

// DescribeType lists the parameters of a struct type in order.
func DescribeType(t reflect.Type) []Param { return planOf(t) }

var plans sync.Map // reflect.Type -> []Param; as many as there are types in the program

func planOf(t reflect.Type) []Param {
	if p, ok := plans.Load(t); ok {
		return p.([]Param)
	}
	p := plan(t, nil)
	plans.Store(t, p)
	return p
}

func plan(t reflect.Type, index []int) []Param {
	var out []Param
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(append([]int(nil), index...), i)
		if f.Anonymous {
			out = append(out, plan(f.Type, at)...)
			continue
		}
		name := f.Tag.Get("query")
		if name == "" {
			continue
		}
		p := Param{Name: name, Doc: f.Tag.Get("doc"), Type: f.Type, Max: TextBytesMax, index: at}
		if f.Type == reflect.TypeFor[*int]() {
			p.Max = math.MaxInt32
		}
		p.Min = number(f.Tag, "min", p.Min)
		p.Max = number(f.Tag, "max", p.Max)
		if enum := f.Tag.Get("enum"); enum != "" {
			p.Enum = strings.Split(enum, ",")
		}
		out = append(out, p)
	}
	return out
}

func number(tag reflect.StructTag, key string, def int) int {
	s := tag.Get(key)
	if s == "" {
		return def
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(fmt.Sprintf("params: tag %s:%q is no number", key, s))
	}
	return n
}

// set reads values into a field and returns what is wrong with them.
func (p *Param) set(field reflect.Value, values []string) (fault string) {
	if p.Type == reflect.TypeFor[[]string]() {
		return p.setList(field, values)
	}
	if len(values) > 1 {
		return "is given more than once; give it once"
	}
	value := values[0]
	switch target := field.Addr().Interface().(type) {
	case *string:
		if fault = p.checkText(value); fault == "" {
			*target = value
		}
	case **int:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < int64(p.Min) || n > int64(p.Max) {
			return fmt.Sprintf("must be an integer from %d to %d", p.Min, p.Max)
		}
		v := int(n)
		*target = &v
	case **bool:
		switch value {
		case "true", "1", "false", "0":
			v := value == "true" || value == "1"
			*target = &v
		default:
			return "must be true or false"
		}
	case *time.Time:
		*target, fault = Instant(value)
	case *Position:
		log, at, err := domain.ParseCursor(value)
		if err != nil {
			return "must be a position of the form <log id>-<16 hex digits>, as positions in answers are"
		}
		*target = Position{Log: log, At: at}
	default:
		panic("params: no reader for " + p.Type.String())
	}
	return fault
}

func (p *Param) setList(field reflect.Value, values []string) string {
	var out []string
	for _, v := range values {
		for item := range strings.SplitSeq(v, ",") {
			if item = strings.TrimSpace(item); item == "" {
				continue
			}
			if fault := p.checkText(item); fault != "" {
				return fault
			}
			out = append(out, item)
		}
	}
	if len(out) > ListItemsMax {
		return fmt.Sprintf("has %d items, at most %d are allowed", len(out), ListItemsMax)
	}
	field.Set(reflect.ValueOf(out))
	return ""
}

// checkText refuses what no stored text can be, so that it never reaches a database.
func (p *Param) checkText(s string) string {
	switch {
	case len(s) > p.Max:
		return fmt.Sprintf("has %d bytes, at most %d are allowed", len(s), p.Max)
	case !utf8.ValidString(s):
		return "is not valid UTF-8"
	case strings.ContainsFunc(s, unicode.IsControl):
		return "contains a control character"
	}
	if p.Enum != nil {
		for _, word := range p.Enum {
			if s == word {
				return ""
			}
		}
		return "must be one of " + strings.Join(p.Enum, ", ")
	}
	return ""
}
