package expression

import (
	"math"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"quipu/commands/sealing"
)

// function is one of the functions of the language: total apart from m.failf, deterministic, and
// counting its work.
type function struct {
	argsMin, argsMax int
	apply            func(m *machine, name string, args []any) any
}

// argsMany is the most arguments min and max take.
const argsMany = 100

// functions lists what can be called. All else (now, date, keys, repeat, …) is refused: not
// deterministic, or able to make much from little.
var functions = map[string]function{
	"abs":      {1, 1, one(func(m *machine, n any) any { return m.abs(n) })},
	"bool":     {1, 1, func(m *machine, _ string, a []any) any { return m.truth(a[0]) }},
	"ceil":     {1, 1, rounding(math.Ceil)},
	"first":    {1, 1, edge},
	"float":    {1, 1, func(m *machine, _ string, a []any) any { return float(m.parse("float", a[0])) }},
	"floor":    {1, 1, rounding(math.Floor)},
	"fromJSON": {1, 1, func(m *machine, _ string, a []any) any { return m.fromJSON(a[0]) }},
	"int":      {1, 1, func(m *machine, _ string, a []any) any { return m.integer(math.Trunc, m.parse("int", a[0])) }},
	"last":     {1, 1, edge},
	"len":      {1, 1, func(m *machine, _ string, a []any) any { return m.len(a[0]) }},
	"lower":    {1, 1, ofText(strings.ToLower)},
	"max":      {1, argsMany, extreme},
	"min":      {1, argsMany, extreme},
	"round":    {1, 1, rounding(math.RoundToEven)},
	"str":      {1, 1, func(m *machine, _ string, a []any) any { return m.str(a[0]) }},
	"string":   {1, 1, func(m *machine, _ string, a []any) any { return m.str(a[0]) }},
	"sum":      {1, 1, sum},
	"trim":     {1, 1, ofText(strings.TrimSpace)},
	"type":     {1, 1, func(m *machine, _ string, a []any) any { return kindOf(a[0]) }},
	"upper":    {1, 1, ofText(strings.ToUpper)},
}

// predicateNames are the functions that look at each item of an array. get is listed with the
// methods.
var predicateNames = map[string]bool{
	"all": true, "any": true, "none": true, "one": true,
	"count": true, "filter": true, "find": true, "map": true,
}

var functionNames = func() string {
	names := []string{}
	for n := range functions {
		names = append(names, n)
	}
	for n := range predicateNames {
		names = append(names, n)
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}()

func (m *machine) call(name string, args []ast.Node) any {
	values := make([]any, len(args))
	for i, a := range args {
		values[i] = m.eval(a)
	}
	return functions[name].apply(m, name, values)
}

func (m *machine) predicate(n *ast.BuiltinNode) any {
	v := m.eval(n.Arguments[0])
	items, ok := v.([]any)
	if !ok {
		m.failf("%s needs an array, not %s", n.Name, kindOf(v))
	}
	var test ast.Node
	if len(n.Arguments) > 1 {
		test = n.Arguments[1].(*ast.PredicateNode).Node
	}
	outer := m.loop
	defer func() { m.loop = outer }()
	hits := 0
	var out []any
	for i, item := range items {
		m.loop = &loop{item: item, index: i}
		got := item // count(array) counts the true items
		if test != nil {
			got = m.eval(test)
		}
		m.loop = outer
		if n.Name == "map" {
			out = append(out, got)
			continue
		}
		hit := m.truth(got)
		switch {
		case hit && n.Name == "any", !hit && n.Name == "all", hit && n.Name == "none":
			return n.Name == "any"
		case hit && n.Name == "find":
			return item
		case hit && n.Name == "filter":
			out = append(out, item)
		}
		if hit {
			hits++
		}
	}
	switch n.Name {
	case "count":
		return int64(hits)
	case "one":
		return hits == 1
	case "find":
		return nil
	case "any":
		return false
	case "all", "none":
		return true
	}
	if out == nil {
		out = []any{}
	}
	return out
}

func one(f func(*machine, any) any) func(*machine, string, []any) any {
	return func(m *machine, name string, args []any) any {
		n, ok := m.number(args[0])
		if !ok {
			m.failf("%s needs a number, not %s", name, kindOf(args[0]))
		}
		return f(m, n)
	}
}

func rounding(f func(float64) float64) func(*machine, string, []any) any {
	return one(func(m *machine, n any) any { return m.integer(f, n) })
}

func ofText(f func(string) string) func(*machine, string, []any) any {
	return func(m *machine, name string, args []any) any {
		s, ok := args[0].(string)
		if !ok {
			m.failf("%s needs a string, not %s", name, kindOf(args[0]))
		}
		m.workText(2 * len(s))
		return f(s)
	}
}

func (m *machine) abs(n any) any {
	if i, ok := n.(int64); ok {
		if i == math.MinInt64 {
			m.failf("the result of abs is out of range")
		}
		return max(i, -i)
	}
	return math.Abs(n.(float64))
}

func (m *machine) integer(f func(float64) float64, n any) any {
	if i, ok := n.(int64); ok {
		return i
	}
	whole := f(n.(float64))
	if whole < -(1<<63) || whole >= 1<<63 {
		m.failf("the number is out of an integer's range")
	}
	return int64(whole)
}

// parse reads a number from a number, a bool or a text.
func (m *machine) parse(name string, v any) any {
	switch v := v.(type) {
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	case string:
		m.workText(len(v))
		s := strings.TrimSpace(v)
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			return i
		}
		// ParseFloat also reads "inf", "nan" and hexadecimal; JSON's numbers are meant.
		if f, err := strconv.ParseFloat(s, 64); err == nil && strings.Trim(s, "+-.0123456789eE") == "" {
			return f
		}
		m.failf("%s cannot read the text as a number", name)
	}
	n, ok := m.number(v)
	if !ok {
		m.failf("%s cannot take %s", name, kindOf(v))
	}
	return n
}

func (m *machine) fromJSON(v any) any {
	s, ok := v.(string)
	if !ok {
		m.failf("fromJSON needs a string, not %s", kindOf(v))
	}
	m.workText(16 * len(s))
	// An escape in a text may become a mark only here.
	return m.decode(sealing.Unmarkable([]byte(s)))
}

func (m *machine) len(v any) any {
	switch v := v.(type) {
	case string:
		m.workText(len(v))
		return int64(utf8.RuneCountInString(v))
	case []any:
		return int64(len(v))
	case map[string]any:
		return int64(len(v))
	case nodesValue:
		return int64(len(v))
	}
	m.failf("len needs a string, an array or an object, not %s", kindOf(v))
	return nil
}

// str is the value's JSON, except that strings are themselves.
func (m *machine) str(v any) any {
	if s, ok := v.(string); ok {
		return s
	}
	return string(m.render(nil, v, 0))
}

// edge is the first or last item of an array, None if it is empty.
func edge(m *machine, name string, args []any) any {
	items, ok := args[0].([]any)
	switch {
	case !ok:
		m.failf("%s needs an array, not %s", name, kindOf(args[0]))
	case len(items) == 0:
		return nil
	case name == "first":
		return items[0]
	}
	return items[len(items)-1]
}

func extreme(m *machine, name string, args []any) any {
	items := args
	if list, ok := args[0].([]any); ok && len(args) == 1 {
		items = list
	}
	if len(items) == 0 {
		m.failf("%s of nothing", name)
	}
	best := items[0]
	op := "<"
	if name == "max" {
		op = ">"
	}
	m.work(len(items))
	for _, item := range items {
		if compare(m, op, item, best).(bool) {
			best = item
		}
	}
	return best
}

func sum(m *machine, name string, args []any) any {
	items, ok := args[0].([]any)
	if !ok {
		m.failf("sum needs an array, not %s", kindOf(args[0]))
	}
	m.work(len(items))
	var total any = int64(0)
	for _, item := range items {
		if _, ok := m.number(item); !ok {
			m.failf("sum cannot take %s", kindOf(item))
		}
		total = arithmetic(m, "+", total, item)
	}
	return total
}
