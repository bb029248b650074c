package wire_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain/wire"
)

// A type without a level could be written while older nodes cannot read it.
func TestLevelOf_EveryStoredTypeHasOne(t *testing.T) {
	stored := regexp.MustCompile(`^[a-z]+\.[a-z_]+\.v[0-9]+$`)
	files, err := os.ReadDir(".")
	require.NoError(t, err)
	found := 0
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		require.NoError(t, err)
		for _, d := range tree.Decls {
			group, ok := d.(*ast.GenDecl)
			if !ok || group.Tok != token.CONST {
				continue
			}
			ast.Inspect(group, func(n ast.Node) bool {
				if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					typ, err := strconv.Unquote(literal.Value)
					require.NoError(t, err)
					if stored.MatchString(typ) {
						found++
						level := wire.LevelOf(typ)
						require.True(t, level >= 1 && level <= wire.Level, "%s has level %d: add it to levels", typ, level)
					}
				}
				return true
			})
		}
	}
	require.GreaterOrEqual(t, found, 32)
	require.Zero(t, wire.LevelOf("run.from_the_future.v9"))
}
