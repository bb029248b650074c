package workflow_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/workflow"
)

// The ways to write a parameter (contract Part 2 A.2). A reference read too eagerly changes what a
// receiver gets; one not seen runs a task too early.
func TestRefs_ReadsTopLevelParameters(t *testing.T) {
	for name, c := range map[string]struct {
		param, json string
		kind        workflow.RefKind
		ref, value  string
	}{
		"text":                       {"p", `"x"`, workflow.RefDirect, "", `"x"`},
		"number":                     {"p", `1e400`, workflow.RefDirect, "", `1e400`},
		"null":                       {"p", `null`, workflow.RefDirect, "", `null`},
		"array":                      {"p", `[{"depends":"t"}]`, workflow.RefDirect, "", `[{"depends":"t"}]`},
		"empty object":               {"p", `{}`, workflow.RefDirect, "", `{}`},
		"value":                      {"p", `{"value": {"input":"k"} }`, workflow.RefValue, "", `{"input":"k"}`},
		"value null":                 {"p", `{"value":null}`, workflow.RefValue, "", `null`},
		"value beside others":        {"p", `{"value":1,"unit":"s"}`, workflow.RefDirect, "", `{"value":1,"unit":"s"}`},
		"input":                      {"p", `{ "input" : "user input" }`, workflow.RefInput, "user input", `{ "input" : "user input" }`},
		"input with escapes":         {"p", `{"inp\u0075t":"\u0061"}`, workflow.RefInput, "a", `{"inp\u0075t":"\u0061"}`},
		"input not a string":         {"p", `{"input":1}`, workflow.RefDirect, "", `{"input":1}`},
		"input beside others":        {"p", `{"input":"k","x":1}`, workflow.RefDirect, "", `{"input":"k","x":1}`},
		"depends":                    {"p", `{"depends":"t"}`, workflow.RefDepends, "t", `{"depends":"t"}`},
		"depends.context":            {"p", `{"depends":"t.context"}`, workflow.RefDepends, "t", `{"depends":"t.context"}`},
		"depends.context.context":    {"p", `{"depends":"t.context.context"}`, workflow.RefDepends, "t.context", `{"depends":"t.context.context"}`},
		"depends not a string":       {"p", `{"depends":["t"]}`, workflow.RefDirect, "", `{"depends":["t"]}`},
		"mapping":                    {"t_data", `{"depends":"t","mapping":{"BODY_x":"response"}}`, workflow.RefMapping, "t", `{"depends":"t","mapping":{"BODY_x":"response"}}`},
		"mapping in config":          {"config", `{"default":{"url":"u"},"depends":"t.context","mapping":{}}`, workflow.RefMapping, "t", `{"default":{"url":"u"},"depends":"t.context","mapping":{}}`},
		"config with body":           {"config", `{"url":"u","body":{"input":"hello"}}`, workflow.RefDirect, "", `{"url":"u","body":{"input":"hello"}}`},
		"config that is only input":  {"config", `{"input":"hello"}`, workflow.RefDirect, "", `{"input":"hello"}`},
		"config that is only value":  {"config", `{"value":"hello"}`, workflow.RefDirect, "", `{"value":"hello"}`},
		"deep depends is not a ref":  {"p", `{"a":{"depends":"t"}}`, workflow.RefDirect, "", `{"a":{"depends":"t"}}`},
		"depends inside a value too": {"p", `{"value":{"depends":"t"}}`, workflow.RefValue, "", `{"depends":"t"}`},
	} {
		refs := workflow.Refs(domain.Raw([]byte(`{"` + c.param + `":` + c.json + `}`)))
		require.Equal(t, []workflow.Ref{{Param: c.param, Kind: c.kind, Name: c.ref, Value: domain.Raw([]byte(c.value))}}, refs, name)
	}
}

func TestRefs_KeepsOrderAndHoles(t *testing.T) {
	hole := domain.Hole{At: "/z/value/k", Sealed: "s1", FP: "f"}
	refs := workflow.Refs(domain.Value{JSON: []byte(`{"z":{"value":{"k":null}},"a":{"depends":"t"},"m":1}`), Holes: []domain.Hole{hole}})
	require.Len(t, refs, 3)
	require.Equal(t, []string{"z", "a", "m"}, []string{refs[0].Param, refs[1].Param, refs[2].Param})
	require.Equal(t, domain.Value{JSON: []byte(`{"k":null}`), Holes: []domain.Hole{{At: "/k", Sealed: "s1", FP: "f"}}}, refs[0].Value)
	require.Empty(t, workflow.Refs(domain.Value{}))
	require.Empty(t, workflow.Refs(domain.Raw([]byte(`[{"depends":"t"}]`))))
}
