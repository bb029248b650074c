package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// The table of adapters names tests by folder: one of that name in another folder is another adapter's.
func TestAdapters_NameTestsThatExist(t *testing.T) {
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "docs", "adapters.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z/]+)` `(Test[A-Za-z0-9_]+)`").FindAllStringSubmatch(string(page), -1)
	if all := testName.FindAllString(string(page), -1); len(named) != len(all) || len(named) < 40 {
		t.Fatalf("of %d tests %d are named with their folder", len(all), len(named))
	}
	for _, n := range named {
		if !testsIn(t, filepath.Join(root, n[1]))[n[2]] {
			t.Errorf("docs/adapters.md names %s in %s, which does not exist", n[2], n[1])
		}
	}
}

// testsIn are the top-level tests of one folder.
func testsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Errorf("docs/adapters.md names %s, which has no tests (%v)", dir, err)
	}
	exists := map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(`).FindAllStringSubmatch(string(b), -1) {
			exists[m[1]] = true
		}
	}
	return exists
}
