package expression

import (
	"math"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
)

// operator says how a binary operator is evaluated; apply is nil for those that binary handles.
type operator struct {
	relation bool // yields a bool and, in Python, chains with its neighbours
	logical  bool // may stand after `not a` without brackets
	apply    func(m *machine, op string, a, b any) any
}

var binaryOperators = map[string]operator{
	"and": {logical: true}, "&&": {logical: true},
	"or": {logical: true}, "||": {logical: true},
	"??": {},
	"==": {relation: true, apply: func(m *machine, _ string, a, b any) any { return m.equal(a, b) }},
	"!=": {relation: true, apply: func(m *machine, _ string, a, b any) any { return !m.equal(a, b) }},
	"<":  {relation: true, apply: compare}, "<=": {relation: true, apply: compare},
	">": {relation: true, apply: compare}, ">=": {relation: true, apply: compare},
	"in":         {relation: true, apply: func(m *machine, _ string, a, b any) any { return m.in(a, b) }},
	"contains":   {relation: true, apply: ofTexts(strings.Contains)},
	"startsWith": {relation: true, apply: ofTexts(strings.HasPrefix)},
	"endsWith":   {relation: true, apply: ofTexts(strings.HasSuffix)},
	"matches":    {relation: true},
	"+":          {apply: arithmetic}, "-": {apply: arithmetic}, "*": {apply: arithmetic},
	"/": {apply: arithmetic}, "%": {apply: arithmetic}, "**": {apply: arithmetic},
}

func (m *machine) unary(n *ast.UnaryNode) any {
	v := m.eval(n.Node)
	if n.Operator == "not" || n.Operator == "!" {
		return !m.truth(v)
	}
	x, ok := m.number(v)
	if !ok {
		m.failf("%s needs a number, not %s", n.Operator, kindOf(v))
	}
	if n.Operator == "+" {
		return x
	}
	if i, ok := x.(int64); ok {
		if i == math.MinInt64 {
			m.failf("the result of - is out of range")
		}
		return -i
	}
	return -x.(float64)
}

func (m *machine) binary(n *ast.BinaryNode) any {
	a := m.eval(n.Left)
	switch n.Operator {
	case "and", "&&":
		if !m.truth(a) {
			return a
		}
		return m.eval(n.Right)
	case "or", "||":
		if m.truth(a) {
			return a
		}
		return m.eval(n.Right)
	case "??":
		if a != nil {
			return a
		}
		return m.eval(n.Right)
	case "matches":
		s, ok := a.(string)
		if !ok {
			m.failf("matches needs a string, not %s", kindOf(a))
		}
		pattern := n.Right.(*ast.StringNode)
		// The engine takes time in proportion to text times pattern.
		m.work(1 + len(s)*(1+len(pattern.Value))/8)
		return m.program.regexps[pattern].MatchString(s)
	}
	return binaryOperators[n.Operator].apply(m, n.Operator, a, m.eval(n.Right))
}

func ofTexts(f func(s, part string) bool) func(*machine, string, any, any) any {
	return func(m *machine, op string, a, b any) any {
		s, ok := a.(string)
		part, ok2 := b.(string)
		if !ok || !ok2 {
			m.failf("%s needs two strings, not %s and %s", op, kindOf(a), kindOf(b))
		}
		m.workText(len(s))
		return f(s, part)
	}
}

func compare(m *machine, op string, a, b any) any {
	var c int
	x, xNumber := m.number(a)
	y, yNumber := m.number(b)
	s, sText := a.(string)
	t, tText := b.(string)
	switch {
	case xNumber && yNumber:
		c = compareNumbers(x, y)
	case sText && tText:
		m.workText(min(len(s), len(t)))
		c = order(s, t)
	default:
		m.failf("%s cannot compare %s with %s", op, kindOf(a), kindOf(b))
	}
	switch op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

func arithmetic(m *machine, op string, a, b any) any {
	if op == "+" {
		s, ok := a.(string)
		t, ok2 := b.(string)
		if ok && ok2 {
			m.workText(len(s) + len(t))
			return s + t
		}
	}
	x, ok := m.number(a)
	y, ok2 := m.number(b)
	if !ok || !ok2 {
		m.failf("%s cannot take %s and %s", op, kindOf(a), kindOf(b))
	}
	if (op == "/" || op == "%") && compareNumbers(y, int64(0)) == 0 {
		m.failf("division by zero")
	}
	i, iInt := x.(int64)
	j, jInt := y.(int64)
	if iInt && jInt && op != "/" && (op != "**" || j >= 0) {
		return m.integers(op, i, j)
	}
	f, g := float(x), float(y)
	switch op {
	case "+":
		f += g
	case "-":
		f -= g
	case "*":
		f *= g
	case "/":
		f /= g
	case "%":
		r := math.Mod(f, g)
		if r != 0 && (r < 0) != (g < 0) {
			r += g
		}
		f = r
	case "**":
		f = math.Pow(f, g)
	}
	return m.finite(op, f)
}

func (m *machine) finite(what string, f float64) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		m.failf("the result of %s is out of range", what)
	}
	return f
}

// integers computes exactly or fails: wrapping around would turn a large amount into a negative
// one without a word.
func (m *machine) integers(op string, i, j int64) int64 {
	out, ok := i, true
	switch op {
	case "+":
		out = i + j
		ok = (out > i) == (j > 0)
	case "-":
		out = i - j
		ok = (out < i) == (j > 0)
	case "*":
		out, ok = multiply(i, j)
	case "%":
		if out = 0; j != -1 { // MinInt64 % -1 is fine in Go, yet 0 either way
			out = i % j
			if out != 0 && (out < 0) != (j < 0) {
				out += j
			}
		}
	case "**":
		out = 1
		for base := i; j > 0 && ok; j >>= 1 {
			if j&1 == 1 {
				out, ok = multiply(out, base)
			}
			if j > 1 && ok {
				base, ok = multiply(base, base)
			}
		}
	}
	if !ok {
		m.failf("the result of %s is out of range", op)
	}
	return out
}

func multiply(i, j int64) (int64, bool) {
	if i == 0 || j == 0 {
		return 0, true
	}
	out := i * j
	if out/j != i || i == -1 && j == math.MinInt64 || j == -1 && i == math.MinInt64 {
		return 0, false
	}
	return out, true
}

// in is Python's: a part of a string, an item of an array, a key of an object.
func (m *machine) in(a, b any) bool {
	switch b := b.(type) {
	case string:
		part, ok := a.(string)
		if !ok {
			m.failf("in needs a string on the left of a string, not %s", kindOf(a))
		}
		m.workText(len(b))
		return strings.Contains(b, part)
	case []any:
		for _, item := range b {
			if m.equal(a, item) {
				return true
			}
		}
		return false
	case map[string]any:
		key, ok := a.(string)
		_, found := b[key]
		return ok && found
	case nodesValue:
		key, ok := a.(string)
		_, found := b[key]
		return ok && found
	}
	m.failf("in needs a string, an array or an object on its right, not %s", kindOf(b))
	return false
}

// member is object.key, object["key"] or array[index]. A missing key is None, an index out of
// range an error.
func (m *machine) member(object, key any) any {
	switch object := object.(type) {
	case map[string]any:
		if k, ok := key.(string); ok {
			return object[k]
		}
	case nodesValue:
		if k, ok := key.(string); ok {
			return m.nodeOutput(object, k)
		}
	case []any:
		if i, ok := m.index(key); ok {
			at := i
			if at < 0 {
				at += int64(len(object))
			}
			if at < 0 || at >= int64(len(object)) {
				m.failf("index %d is out of range of %d items", i, len(object))
			}
			return object[at]
		}
	}
	if k, ok := key.(string); ok {
		m.failf("%s has no field %q", kindOf(object), clip(k))
	}
	m.failf("%s cannot be indexed with %s", kindOf(object), kindOf(key))
	return nil
}

// index reads an integer.
func (m *machine) index(v any) (int64, bool) {
	n, ok := m.number(v)
	if !ok {
		return 0, false
	}
	i, ok := n.(int64)
	return i, ok
}

// slice is array[from:to] or text[from:to] in characters, cut to what is there as in Python.
func (m *machine) slice(n *ast.SliceNode) any {
	v := m.eval(n.Node)
	size := 0
	switch v := v.(type) {
	case []any:
		size = len(v)
	case string:
		m.workText(len(v))
		size = utf8.RuneCountInString(v)
	default:
		m.failf("%s cannot be sliced", kindOf(v))
	}
	bound := func(n ast.Node, missing int) int {
		if n == nil {
			return missing
		}
		x := m.eval(n)
		i, ok := m.index(x)
		if !ok {
			m.failf("a slice's bounds must be integers, not %s", kindOf(x))
		}
		if i < 0 {
			i += int64(size)
		}
		return int(min(max(i, 0), int64(size)))
	}
	from, to := bound(n.From, 0), bound(n.To, size)
	if items, ok := v.([]any); ok {
		if from >= to {
			return []any{}
		}
		return items[from:to:to]
	}
	if from >= to {
		return ""
	}
	text := v.(string)
	m.workText(4 * len(text))
	return string([]rune(text)[from:to])
}

// get is Python's dict.get: the key's value, or the default, None without one.
func (m *machine) get(object any, args []ast.Node) any {
	key := m.eval(args[0])
	var fallback any
	if len(args) > 1 {
		fallback = m.eval(args[1])
	}
	k, isText := key.(string)
	switch object := object.(type) {
	case map[string]any:
		if v, ok := object[k]; ok && isText {
			return v
		}
		return fallback
	case nodesValue:
		if _, ok := object[k]; ok && isText {
			return m.nodeOutput(object, k)
		}
		return fallback
	}
	m.failf("get needs an object, not %s", kindOf(object))
	return nil
}
