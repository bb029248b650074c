// Package archtest checks the house rules that a compiler does not: which room imports which, where
// wall clock, randomness and the environment are read, and that tests neither sleep nor skip.
//
// rules.go holds the rules; each exception stands there with its reason. To see what is broken, run
// go test ./internal/archtest: every finding names file, line, rule and what to do instead.
package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Finding is one place where a rule is broken.
type Finding struct {
	File string // relative to the root, with slashes
	Line int
	Text string
}

// String renders "file:line: text".
func (f Finding) String() string { return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text) }

// LinesMax is the length from which a file is listed as long. Length is no fault, so it is no finding.
const LinesMax = 600

// Check reads every Go file of the module below root and returns what breaks a rule, in the order
// of files and lines, and the names of long files. Modules within (tools), testdata and hidden
// folders are left out.
func Check(root string) (found []Finding, long []string, err error) {
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || hasModule(name)) {
				return filepath.SkipDir
			}
			return nil
		}
		if path.Ext(rel) != ".go" {
			return nil
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if bytes.Count(src, []byte("\n")) > LinesMax {
			long = append(long, rel)
		}
		f, err := checkFile(rel, src)
		found = append(found, f...)
		return err
	})
	return found, long, err
}

func hasModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// file is one source file under examination.
type file struct {
	rel, dir string
	test     bool // a _test.go file
	support  bool // of a package made for tests: its name ends in test
	set      *token.FileSet
	tree     *ast.File
	imports  map[string]string // name in this file -> import path
	found    []Finding
}

func checkFile(rel string, src []byte) ([]Finding, error) {
	f := &file{rel: rel, dir: path.Dir(rel), set: token.NewFileSet(), imports: map[string]string{}}
	if f.dir == "." {
		f.dir = ""
	}
	f.test = strings.HasSuffix(rel, "_test.go")
	f.support = supports(f.dir)
	tree, err := parser.ParseFile(f.set, rel, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	f.tree = tree
	if formatted, err := format.Source(src); err == nil && !bytes.Equal(formatted, src) {
		f.report(tree.Package, "is not formatted: run gofmt -w %s", rel)
	}
	for _, spec := range tree.Imports {
		f.checkImport(spec)
	}
	f.checkCode()
	slices.SortStableFunc(f.found, func(a, b Finding) int { return a.Line - b.Line })
	return f.found, nil
}

func (f *file) report(at token.Pos, format string, args ...any) {
	f.found = append(f.found, Finding{f.rel, f.set.Position(at).Line, fmt.Sprintf(format, args...)})
}

// supports reports whether dir is a package made for tests, or lies below one.
func supports(dir string) bool {
	for part := range strings.SplitSeq(dir, "/") {
		if len(part) > len("test") && strings.HasSuffix(part, "test") {
			return true
		}
	}
	return false
}

// roomOf returns the row of rooms for dir, by the longest prefix.
func roomOf(dir string) (string, room, bool) {
	for d := dir; ; d = path.Dir(d) {
		if d == "." {
			return "", room{}, false
		}
		if r, ok := rooms[d]; ok && (d != "" || dir == "") {
			return d, r, true
		}
		if !strings.Contains(d, "/") {
			return "", room{}, false
		}
	}
}

func within(dir, parent string) bool { return dir == parent || strings.HasPrefix(dir, parent+"/") }

func withinAny(dir string, parents []string) bool {
	return slices.ContainsFunc(parents, func(p string) bool { return within(dir, p) })
}

func (f *file) checkImport(spec *ast.ImportSpec) {
	target, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return
	}
	name := path.Base(target)
	if spec.Name != nil {
		name = spec.Name.Name
	} else if len(name) > 1 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "" {
		name = path.Base(path.Dir(target))
	}
	f.imports[name] = target
	if name == "." {
		f.report(spec.Pos(), "imports %s into its own names, so that its calls cannot be told from ours", target)
	}

	where, r, ok := roomOf(f.dir)
	if !ok {
		f.report(spec.Pos(), "is in a folder that has no row in internal/archtest/rules.go: add one and say what it may import")
		return
	}
	own, isOwn := strings.CutPrefix(target, module)
	isOwn = isOwn && (own == "" || own[0] == '/')
	own = strings.TrimPrefix(own, "/")
	if name, to, ok := roomOf(own); isOwn && ok && to.by != nil && top(where) != top(name) && !slices.Contains(to.by, where) {
		f.report(spec.Pos(), "imports %s, which only %s may: nobody builds on how the program is put together", own, callers(to.by))
		return
	}
	if f.test {
		return // a test may join what else the program keeps apart
	}
	std := !isOwn && !strings.Contains(strings.Split(target, "/")[0], ".")
	switch {
	case isOwn && supports(own) && !f.support && where != "infra/sim" && where != "bench":
		f.report(spec.Pos(), "imports %s, which is made for tests, into the program", own)
	case isOwn && within(own, "infra") && within(f.dir, "infra") && !r.anyOwn:
		a, b := sibling(f.dir), sibling(own)
		if a != b && siblings[[2]string{a, b}] == "" && !f.support {
			f.report(spec.Pos(), "%s imports its sibling %s: adapters do not know each other; declare a port, let package app join them", a, b)
		}
	case isOwn && !r.anyOwn && !within(own, top(where)) && !withinAny(own, r.own) && !(f.support && (supports(own) || withinAny(own, supportMay))):
		f.report(spec.Pos(), "%s may not import %s: declare the small port it needs, let package app fill it", where, own)
	case std && !f.support && (target == "testing" || strings.HasPrefix(target, "testing/") || target == "net/http/httptest") && where != "bench" && where != "infra/sim":
		f.report(spec.Pos(), "imports %s into the program", target)
	case std && r.std != nil && !f.support && !slices.Contains(r.std, target):
		f.report(spec.Pos(), "%s may not import %s: the domain is pure (no I/O, clock, randomness, shared memory)", where, target)
	case !isOwn && !std && !r.anyThird && !f.support && !withinAny(target, r.third):
		f.report(spec.Pos(), "%s may not import %s: if the room needs it, add it to its row in internal/archtest/rules.go", where, target)
	}
	for _, rule := range banned {
		if slices.Contains(rule.calls, target) && f.applies(rule.inTest, rule.except) {
			f.report(spec.Pos(), "imports %s: %s", target, rule.hint)
		}
	}
}

// callers names rooms for people.
func callers(by []string) string {
	names := slices.Clone(by)
	for i, name := range names {
		if name == "" {
			names[i] = "main"
		}
	}
	return strings.Join(names, " and ")
}

// sibling is the adapter that a folder below infra belongs to.
func sibling(dir string) string {
	parts := strings.SplitN(dir, "/", 3)
	return strings.Join(parts[:min(len(parts), 2)], "/")
}

func top(dir string) string {
	first, _, _ := strings.Cut(dir, "/")
	if first == "infra" {
		return dir // siblings are handled apart
	}
	return first
}

func (f *file) applies(inTest bool, except []string) bool {
	if f.test || f.support {
		return inTest && (f.test || f.support)
	}
	return !inTest && !withinAny(f.rel, except)
}

// checkCode looks for banned calls, skips and, in the domain, goroutines.
func (f *file) checkCode() {
	var virtual []ast.Node // calls of synctest.Test: sleeping in there takes no time
	inVirtual := func(n ast.Node) bool {
		return slices.ContainsFunc(virtual, func(v ast.Node) bool { return v.Pos() <= n.Pos() && n.End() <= v.End() })
	}
	domain := within(f.dir, "domain") && !f.test && !f.support
	ast.Inspect(f.tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			if domain {
				f.report(n.Pos(), "starts a goroutine in the domain")
			}
		case *ast.SelectorExpr:
			// In the domain even a mention counts: elsewhere time.Now may be the default of an option.
			if domain && slices.Contains(banned[0].calls, f.name(n)) {
				f.report(n.Pos(), "mentions %s in the domain: time comes in with the command", f.name(n))
			}
		case *ast.CallExpr:
			sel, ok := n.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			name := f.name(sel)
			if name == "testing/synctest.Test" {
				virtual = append(virtual, n)
			}
			f.checkCall(n, sel, name, inVirtual(n), domain)
		}
		return true
	})
}

func (f *file) checkCall(n *ast.CallExpr, sel *ast.SelectorExpr, name string, virtual, domain bool) {
	for _, rule := range banned {
		if slices.Contains(rule.calls, name) && !domain && !virtual && f.applies(rule.inTest, rule.except) {
			f.report(n.Pos(), "calls %s: %s", name, rule.hint)
		}
	}
	if name == "testing.Short" {
		f.report(n.Pos(), "calls testing.Short: every test runs every time")
	}
	if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(words("t b f tb"), x.Name) && slices.Contains(words("Skip Skipf SkipNow"), sel.Sel.Name) {
		f.report(n.Pos(), "skips a test: start what it needs, or leave the case out by declared capability")
	}
}

// name renders a selector on an imported package as path.Name, "" for any other.
func (f *file) name(sel *ast.SelectorExpr) string {
	x, ok := sel.X.(*ast.Ident)
	if !ok {
		return ""
	}
	if target, ok := f.imports[x.Name]; ok {
		return target + "." + sel.Sel.Name
	}
	return ""
}
