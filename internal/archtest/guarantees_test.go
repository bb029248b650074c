package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var testName = regexp.MustCompile("`(Test[A-Za-z0-9_]+)`")

// testsThatExist are the top-level tests of the module.
func testsThatExist(t *testing.T, root string) map[string]bool {
	t.Helper()
	exists := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(`)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(b), -1) {
			exists[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return exists
}

// A promise whose test was renamed or dropped would be a promise nobody checks.
func TestGuarantees_NameTestsThatExist(t *testing.T) {
	root := filepath.Join("..", "..")
	exists := testsThatExist(t, root)
	for _, doc := range []string{"guarantees.md", "contract-tests.md", "testing.md", "kurrentdb.md", "kurrentdb-port.md"} {
		b, err := os.ReadFile(filepath.Join(root, "docs", doc))
		if err != nil {
			t.Fatal(err)
		}
		named := testName.FindAllStringSubmatch(string(b), -1)
		if len(named) < 20 {
			t.Fatalf("docs/%s names only %d tests", doc, len(named))
		}
		for _, n := range named {
			if !exists[n[1]] {
				t.Errorf("docs/%s names %s, which does not exist", doc, n[1])
			}
		}
	}
}
