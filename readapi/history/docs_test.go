package history

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"quipu/readapi/params"
)

var update = flag.Bool("update", false, "rewrite the tables in docs/history.md")

// The page that users read lists exactly the parameters that are checked.
func TestDocs_ParametersEqualTheCode(t *testing.T) {
	const path = "../../docs/history.md"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	for name, list := range map[string][]params.Param{
		"paging": params.Describe[pagingParams](), "executions": own(params.Describe[executionsParams]()),
		"approvals": own(params.Describe[approvalsParams]()), "events": own(params.Describe[eventsParams]()), "workflows": own(params.Describe[workflowsParams]()),
		"execution": params.Describe[atParams](), "workflow": params.Describe[versionParams](), "versions": own(params.Describe[versionsParams]()),
	} {
		begin, end := "<!-- "+name+":begin -->\n", "<!-- "+name+":end -->"
		from, to := strings.Index(doc, begin), strings.Index(doc, end)
		if from < 0 || to < from {
			t.Fatalf("%s has no table %s", path, name)
		}
		from += len(begin)
		want := table(list)
		if *update {
			doc = doc[:from] + want + doc[to:]
		} else if doc[from:to] != want {
			t.Errorf("%s differs from the code in table %s; run go test ./readapi/history -run Docs -update", path, name)
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// own leaves out the parameters of every list.
func own(list []params.Param) (out []params.Param) {
	shared := map[string]bool{}
	for _, p := range params.Describe[pagingParams]() {
		shared[p.Name] = true
	}
	for _, p := range list {
		if !shared[p.Name] {
			out = append(out, p)
		}
	}
	return out
}

func table(list []params.Param) string {
	var b strings.Builder
	b.WriteString("| parameter | takes | meaning |\n|---|---|---|\n")
	for _, p := range list {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", p.Name, takes(p), p.Doc)
	}
	return b.String()
}

func takes(p params.Param) string {
	switch {
	case p.Enum != nil:
		return "`" + strings.Join(p.Enum, "`, `") + "`"
	case p.Type == reflect.TypeFor[*int]() && p.Max < 1<<30:
		return fmt.Sprintf("integer, %d to %d", p.Min, p.Max)
	case p.Type == reflect.TypeFor[*int]():
		return fmt.Sprintf("integer from %d", p.Min)
	case p.Type == reflect.TypeFor[*bool]():
		return "`true`, `false`"
	case p.Type == reflect.TypeFor[params.Position]():
		return "position"
	case p.Type == reflect.TypeFor[[]string]():
		return "list"
	case p.Type == reflect.TypeFor[string]():
		return fmt.Sprintf("text, %d bytes", p.Max)
	}
	return "instant"
}
