package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
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
	for _, doc := range []string{"guarantees.md", "contract-tests.md", "testing.md"} {
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

// Each statement of the contract has a row, and each row a test or the word that it is the client's.
func TestContract_EveryStatementIsListed(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "contract-tests.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| ((?:S0-|S1-|S2-|D)\d+) \|[^|]*\| (.*) \|$`).FindAllStringSubmatch(string(b), -1) {
		if _, twice := rows[m[1]]; twice {
			t.Errorf("%s has two rows", m[1])
		}
		rows[m[1]] = m[2]
	}
	var want []string
	for i := 1; i <= 37; i++ {
		want = append(want, "S0-"+strconv.Itoa(i))
	}
	for i := 1; i <= 29; i++ {
		want = append(want, "S1-"+strconv.Itoa(i))
	}
	for _, i := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 22} {
		want = append(want, "S2-"+strconv.Itoa(i))
	}
	for _, i := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 25, 26, 27} {
		want = append(want, "D"+strconv.Itoa(i))
	}
	for _, statement := range want {
		row, ok := rows[statement]
		switch {
		case !ok:
			t.Errorf("%s has no row", statement)
		case !testName.MatchString(row) && !strings.HasPrefix(row, "client;"):
			t.Errorf("%s names no test: %s", statement, row)
		}
	}
}
