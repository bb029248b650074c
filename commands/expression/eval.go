package expression

import (
	"encoding/json"
	"fmt"

	"github.com/expr-lang/expr/ast"

	"quipu/commands/node"
)

// EvalError says why a checked expression has no value over some data. It names kinds and field
// names, never values.
type EvalError struct{ Reason string }

// Error returns the reason.
func (e *EvalError) Error() string { return e.Reason }

// Eval compiles src, or takes it from the cache, and returns its value as JSON.
// Errors: *SyntaxError, *EvalError.
func Eval(src string, scope node.Scope) (json.RawMessage, error) {
	p, err := Compile(src)
	if err != nil {
		return nil, err
	}
	return p.Eval(scope)
}

// Truth is like Eval for a condition: the value's truth by Python's rules.
func Truth(src string, scope node.Scope) (bool, error) {
	p, err := Compile(src)
	if err != nil {
		return false, err
	}
	return p.Truth(scope)
}

// Eval returns the program's value over scope. The error is an *EvalError.
func (p *Program) Eval(scope node.Scope) (out json.RawMessage, err error) {
	err = p.run(scope, func(m *machine, v any) { out = m.render(nil, v, 0) })
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Truth tells whether the program's value over scope is true by Python's rules. The error is an
// *EvalError.
func (p *Program) Truth(scope node.Scope) (yes bool, err error) {
	err = p.run(scope, func(m *machine, v any) { yes = m.truth(v) })
	return yes && err == nil, err
}

// EvalAll returns the values of programs over scope, in their order; the bounds of one evaluation
// hold for all together. On an *EvalError index says which program has no value.
func EvalAll(programs []*Program, scope node.Scope) (out []json.RawMessage, index int, err error) {
	m := machine{scope: scope}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*EvalError)
			if !ok {
				panic(r)
			}
			out, err = nil, e
		}
	}()
	for index = range programs {
		out = append(out, m.render(nil, m.again(programs[index]), 0))
	}
	return out, 0, nil
}

// again evaluates a program on a machine that has evaluated others.
func (m *machine) again(p *Program) any {
	m.program, m.vars, m.loop = p, m.vars[:0], nil
	return m.eval(p.root)
}

func (p *Program) run(scope node.Scope, use func(*machine, any)) (err error) {
	m := machine{program: p, scope: scope}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*EvalError)
			if !ok {
				panic(r)
			}
			err = e
		}
	}()
	use(&m, m.eval(p.root))
	return nil
}

// workBytes is how many bytes of text count as one unit of work.
const workBytes = 32

// machine is one evaluation. It fails by panicking with an *EvalError, which run catches; walking
// a tree reads badly with an error after every step.
type machine struct {
	program    *Program
	scope      node.Scope
	done       int // units of work
	scopeBytes int

	output  any
	input   any
	nodes   map[string]any // outputs decoded so far
	decoded struct{ output, input bool }

	vars []variable
	loop *loop
}

type variable struct {
	name  string
	value any
}

// loop is the item a predicate looks at.
type loop struct {
	item  any
	index int
}

func (m *machine) failf(format string, args ...any) {
	panic(&EvalError{Reason: fmt.Sprintf(format, args...)})
}

func (m *machine) work(units int) {
	if m.done += units; m.done > WorkMax {
		m.failf("the expression needs more than %d steps over this data", WorkMax)
	}
}

// workText counts the handling of n bytes.
func (m *machine) workText(n int) { m.work(1 + n/workBytes) }

func (m *machine) eval(n ast.Node) any {
	m.work(1)
	switch n := n.(type) {
	case *ast.NilNode:
		return nil
	case *ast.BoolNode:
		return n.Value
	case *ast.IntegerNode:
		return int64(n.Value)
	case *ast.FloatNode:
		return n.Value
	case *ast.StringNode:
		return n.Value
	case *ast.IdentifierNode:
		return m.name(n.Value)
	case *ast.PointerNode:
		return m.pointer(n.Name)
	case *ast.UnaryNode:
		return m.unary(n)
	case *ast.BinaryNode:
		return m.binary(n)
	case *ast.ChainNode:
		v, _ := m.chain(n.Node)
		return v
	case *ast.MemberNode, *ast.CallNode:
		v, _ := m.chain(n)
		return v
	case *ast.SliceNode:
		return m.slice(n)
	case *ast.BuiltinNode:
		if predicateNames[n.Name] {
			return m.predicate(n)
		}
		return m.call(n.Name, n.Arguments)
	case *ast.ConditionalNode:
		return m.conditional(n)
	case *ast.VariableDeclaratorNode:
		m.vars = append(m.vars, variable{n.Name, m.eval(n.Value)})
		v := m.eval(n.Expr)
		m.vars = m.vars[:len(m.vars)-1]
		return v
	case *ast.ArrayNode:
		out := make([]any, len(n.Nodes))
		for i, item := range n.Nodes {
			out[i] = m.eval(item)
		}
		return out
	case *ast.MapNode:
		return m.object(n)
	}
	panic(fmt.Sprintf("expression: node %T passed the check", n)) // a bug: checker lists them all
}

func (m *machine) conditional(n *ast.ConditionalNode) any {
	cond := m.eval(n.Cond)
	if !m.truth(cond) {
		return m.eval(n.Exp2)
	}
	if n.Exp1 == n.Cond { // a ?: b shares the node; see checker
		return cond
	}
	return m.eval(n.Exp1)
}

func (m *machine) object(n *ast.MapNode) any {
	out := make(map[string]any, len(n.Pairs))
	for _, pair := range n.Pairs {
		p := pair.(*ast.PairNode)
		key, ok := m.eval(p.Key).(string)
		if !ok {
			m.failf("an object's key must be a string")
		}
		out[key] = m.eval(p.Value)
	}
	return out
}

// name looks a name up: variables, then output, nodes and input, then the output's fields.
func (m *machine) name(name string) any {
	for i := len(m.vars) - 1; i >= 0; i-- {
		if m.vars[i].name == name {
			return m.vars[i].value
		}
	}
	switch name {
	case "True":
		return true
	case "False":
		return false
	case "None":
		return nil
	case "output":
		return m.sourceOutput()
	case "nodes":
		return nodesValue(m.scope.Nodes)
	case "input":
		if !m.decoded.input {
			m.input, m.decoded.input = m.decode(m.scope.Input), true
		}
		return m.input
	}
	fields, _ := m.sourceOutput().(map[string]any)
	return fields[name]
}

func (m *machine) sourceOutput() any {
	if !m.decoded.output {
		m.output, m.decoded.output = m.decode(m.scope.Output), true
	}
	return m.output
}

func (m *machine) nodeOutput(nodes nodesValue, task string) any {
	if v, ok := m.nodes[task]; ok {
		return v
	}
	if m.nodes == nil {
		m.nodes = make(map[string]any)
	}
	v := m.decode(nodes[task])
	m.nodes[task] = v
	return v
}

func (m *machine) pointer(name string) any {
	if m.loop == nil {
		m.failf("# is used outside a predicate")
	}
	if name == "index" {
		return int64(m.loop.index)
	}
	return m.loop.item
}

// chain evaluates a chain of members and calls; cut says that an optional step (?.) met None, so
// that the rest of the chain is None too.
func (m *machine) chain(n ast.Node) (v any, cut bool) {
	switch n := n.(type) {
	case *ast.MemberNode:
		object, cut := m.chain(n.Node)
		if cut || object == nil && n.Optional {
			return nil, true
		}
		return m.member(object, m.eval(n.Property)), false
	case *ast.CallNode:
		m.work(1)
		if name, ok := n.Callee.(*ast.IdentifierNode); ok {
			return m.call(name.Value, n.Arguments), false
		}
		callee := n.Callee.(*ast.MemberNode)
		object, cut := m.chain(callee.Node)
		if cut || object == nil && callee.Optional {
			return nil, true
		}
		return m.get(object, n.Arguments), false
	}
	return m.eval(n), false
}
