package expression

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// Bounds of the package.
const (
	// SourceBytesMax is the longest expression.
	SourceBytesMax = 4 << 10
	// NodesMax is the most nodes of an expression's tree.
	NodesMax = 1000
	// ScopeBytesMax is the most JSON one evaluation reads.
	ScopeBytesMax = 1 << 20
	// WorkMax is how much one evaluation may do: a unit per node visited, item compared, and
	// workBytes of text handled. It takes about ten milliseconds.
	WorkMax = 250_000
)

// SyntaxError says why a text is no acceptable expression.
type SyntaxError struct {
	Offset int    // of the token, in characters from 0
	Token  string // the offending token as written; "" at the end
	Reason string
}

// Error renders `at character n ("token"): reason`, counting from 1.
func (e *SyntaxError) Error() string {
	if e.Token == "" {
		return fmt.Sprintf("at character %d: %s", e.Offset+1, e.Reason)
	}
	return fmt.Sprintf("at character %d (%q): %s", e.Offset+1, e.Token, e.Reason)
}

// Program is a checked expression. It is never changed and safe for concurrent use.
type Program struct {
	root    ast.Node
	regexps map[ast.Node]*regexp.Regexp // of the literal patterns, by their node
}

// Compile checks src. The error is a *SyntaxError.
func Compile(src string) (*Program, error) {
	if p, ok := programs.get(src); ok {
		return p, nil
	}
	p, err := compile(src)
	if err != nil {
		return nil, err
	}
	programs.put(src, p)
	return p, nil
}

func compile(src string) (*Program, error) {
	switch {
	case len(src) > SourceBytesMax:
		return nil, &SyntaxError{Reason: fmt.Sprintf("the expression has %d bytes, at most %d are allowed", len(src), SourceBytesMax)}
	case !utf8.ValidString(src):
		return nil, &SyntaxError{Reason: "the expression is not valid UTF-8"}
	case strings.TrimSpace(src) == "":
		return nil, &SyntaxError{Reason: "the expression is empty"}
	}
	if at := findComment([]rune(src)); at >= 0 {
		return nil, &SyntaxError{Offset: at, Token: string([]rune(src)[at : at+2]), Reason: "comments and floor division are not supported"}
	}
	root, err := parse(src)
	if err != nil {
		return nil, err
	}
	c := checker{src: []rune(src), seen: make(map[ast.Node]bool), program: &Program{root: root}}
	if err := c.node(root); err != nil {
		return nil, err
	}
	return c.program, nil
}

func parse(src string) (root ast.Node, err error) {
	// The parser goes on after an error with nil nodes and may trip over them.
	defer func() {
		if recover() != nil {
			root, err = nil, &SyntaxError{Reason: "the expression cannot be parsed"}
		}
	}()
	config := conf.CreateNew()
	config.MaxNodes = NodesMax
	tree, err := parser.ParseWithConfig(src, config)
	if err == nil {
		return tree.Node, nil
	}
	var at *file.Error
	if !errors.As(err, &at) {
		return nil, &SyntaxError{Reason: "the expression cannot be parsed"}
	}
	return nil, &SyntaxError{Offset: at.From, Token: slice([]rune(src), at.Location), Reason: at.Message}
}

func slice(src []rune, at file.Location) string {
	from, to := max(0, at.From), min(len(src), at.To)
	if from >= to || to-from > 64 {
		return ""
	}
	return strings.TrimSpace(string(src[from:to]))
}

// findComment returns where expr-lang would begin a comment, -1 if nowhere. Python's a // b would
// silently become a.
func findComment(src []rune) int {
	var quote rune
	for i := 0; i < len(src); i++ {
		c := src[i]
		switch {
		case quote == 0 && (c == '"' || c == '\'' || c == '`'):
			quote = c
		case quote != 0 && c == '\\' && quote != '`':
			i++
		case c == quote:
			quote = 0
		case quote == 0 && c == '/' && i+1 < len(src) && (src[i+1] == '/' || src[i+1] == '*'):
			return i
		}
	}
	return -1
}

// checker refuses what the evaluator does not have. Trees may share nodes (a ?: b, a < b < c), so
// that each is visited once: without that, nested ?: would take exponential time.
type checker struct {
	src     []rune
	seen    map[ast.Node]bool
	program *Program
}

func (c *checker) refuse(n ast.Node, token, format string, args ...any) error {
	if token == "" {
		token = slice(c.src, n.Location())
	}
	return &SyntaxError{Offset: n.Location().From, Token: token, Reason: fmt.Sprintf(format, args...)}
}

func (c *checker) nodes(nodes ...ast.Node) error {
	for _, n := range nodes {
		if n == nil {
			continue
		}
		if err := c.node(n); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) node(n ast.Node) error {
	if c.seen[n] {
		return nil
	}
	c.seen[n] = true
	switch n := n.(type) {
	case *ast.NilNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode:
		return nil
	case *ast.IdentifierNode:
		if strings.HasPrefix(n.Value, "$") {
			return c.refuse(n, n.Value, "names do not begin with $")
		}
		return nil
	case *ast.PointerNode:
		if n.Name != "" && n.Name != "index" {
			return c.refuse(n, "#"+n.Name, "only # and #index exist")
		}
		return nil
	case *ast.UnaryNode:
		return c.node(n.Node)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ChainNode:
		return c.node(n.Node)
	case *ast.MemberNode:
		return c.nodes(n.Node, n.Property)
	case *ast.SliceNode:
		return c.nodes(n.Node, n.From, n.To)
	case *ast.CallNode:
		return c.call(n)
	case *ast.BuiltinNode:
		return c.builtin(n)
	case *ast.PredicateNode:
		return c.node(n.Node)
	case *ast.ConditionalNode:
		return c.nodes(n.Cond, n.Exp1, n.Exp2)
	case *ast.VariableDeclaratorNode:
		return c.nodes(n.Value, n.Expr)
	case *ast.ArrayNode:
		return c.nodes(n.Nodes...)
	case *ast.MapNode:
		for _, pair := range n.Pairs {
			p := pair.(*ast.PairNode)
			if err := c.nodes(p.Key, p.Value); err != nil {
				return err
			}
		}
		return nil
	case *ast.SequenceNode:
		return c.refuse(n, "", "several expressions separated by ; are not supported")
	}
	return c.refuse(n, "", "not supported here")
}

func (c *checker) binary(n *ast.BinaryNode) error {
	op, known := binaryOperators[n.Operator]
	if !known {
		return c.refuse(n, n.Operator, "the operator is not supported")
	}
	if u, ok := n.Left.(*ast.UnaryNode); ok && u.Operator == "not" && !op.logical {
		return c.refuse(u, "not", "`not` before %q is read in two ways; write not (a %s b)", n.Operator, n.Operator)
	}
	// expr-lang groups a == b == c and a < b == c from the left, Python joins the pairs by and.
	// Brackets do not show in the tree, so (a < b) == c is refused too. a < b < c is joined by the
	// parser, as in Python.
	if l, ok := n.Left.(*ast.BinaryNode); ok && op.relation && binaryOperators[l.Operator].relation {
		return c.refuse(n, n.Operator, "%q cannot follow %q; join two comparisons by and", n.Operator, l.Operator)
	}
	if n.Operator == "matches" {
		pattern, ok := n.Right.(*ast.StringNode)
		if !ok {
			return c.refuse(n, "matches", "the pattern must be a literal string")
		}
		re, err := regexp.Compile(pattern.Value)
		if err != nil {
			return c.refuse(pattern, "", "%v", err)
		}
		if c.program.regexps == nil {
			c.program.regexps = make(map[ast.Node]*regexp.Regexp)
		}
		c.program.regexps[pattern] = re
	}
	return c.nodes(n.Left, n.Right)
}

func (c *checker) call(n *ast.CallNode) error {
	switch callee := n.Callee.(type) {
	case *ast.MemberNode:
		name, _ := callee.Property.(*ast.StringNode)
		if !callee.Method || name == nil || name.Value != "get" {
			return c.refuse(callee, "", "the only method is get; functions are %s", functionNames)
		}
		if len(n.Arguments) < 1 || len(n.Arguments) > 2 {
			return c.refuse(callee, "get", "takes a key and an optional default")
		}
		return c.nodes(append([]ast.Node{callee.Node}, n.Arguments...)...)
	case *ast.IdentifierNode:
		return c.function(n, callee.Value, n.Arguments)
	}
	return c.refuse(n, "", "only functions can be called: %s", functionNames)
}

func (c *checker) builtin(n *ast.BuiltinNode) error {
	if predicateNames[n.Name] {
		return c.nodes(n.Arguments...)
	}
	return c.function(n, n.Name, n.Arguments)
}

func (c *checker) function(n ast.Node, name string, args []ast.Node) error {
	f, ok := functions[name]
	if !ok {
		return c.refuse(n, name, "unknown function; known are %s", functionNames)
	}
	if len(args) < f.argsMin || len(args) > f.argsMax {
		return c.refuse(n, name, "takes %d to %d arguments, not %d", f.argsMin, f.argsMax, len(args))
	}
	for _, a := range args {
		if _, ok := a.(*ast.PredicateNode); ok {
			return c.refuse(n, name, "takes no predicate")
		}
	}
	return c.nodes(args...)
}
