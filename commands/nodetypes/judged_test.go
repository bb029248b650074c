package nodetypes_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands/node"
	"quipu/commands/nodetypes"
)

// judge is a registry whose model answers with *words.
func judge(t *testing.T, words *string) (*node.Registry, *[]seen) {
	t.Helper()
	s, requests := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := json.Marshal(map[string]any{"model": "m-1", "choices": []any{map[string]any{"message": map[string]any{"role": "assistant", "content": *words}}}, "usage": map[string]any{"prompt_tokens": 3, "completion_tokens": 1}})
		_, _ = w.Write(b)
	})
	return registry(t, nodetypes.Deps{HTTP: guarded(t), Model: nodetypes.Model{BaseURL: s.URL, Key: "process-key", Name: "m"}}), requests
}

const routes = `"fallback_route":"other","routes":[{"name":"billing","description":"Invoices","examples":[{"text":"I want a refund"}]},{"name":"Tech Support"}]`

func TestGPTRouter_UnderstandsAnswers(t *testing.T) {
	var words string
	r, requests := judge(t, &words)
	for said, want := range map[string]string{
		`{"route":"billing","confidence":0.9,"reasoning":"money","all_scores":{"billing":0.9,"tech support":"5%","made up":1}}`: `{"route":"billing","confidence":0.9,"reasoning":"money","all_scores":{"billing":0.9,"Tech Support":0.05},"user_message":"Hi"}`,
		"Sure!\n```json\n{\"route\": \"TECH SUPPORT\"}\n```":                                                                    `{"route":"Tech Support","confidence":null,"reasoning":"","all_scores":{},"user_message":"Hi"}`,
		"**billing**":                      `{"route":"billing","confidence":null,"reasoning":"","all_scores":{},"user_message":"Hi"}`,
		"I would go for tech support.":     `{"route":"Tech Support","confidence":null,"reasoning":"","all_scores":{},"user_message":"Hi"}`,
		"billing or other":                 `{"route":"other","confidence":null,"reasoning":"the model named no route; the fallback is taken","all_scores":{},"user_message":"Hi"}`,
		`{"route":"sales"}`:                `{"route":"other","confidence":null,"reasoning":"the model named no route; the fallback is taken","all_scores":{},"user_message":"Hi"}`,
		`{"route":"other","confidence":7}`: `{"route":"other","confidence":1,"reasoning":"","all_scores":{},"user_message":"Hi"}`,
	} {
		words = said
		reply, err := run(t, r, "gpt_router", params(`{"message":{"value":"Hi"},`+routes+`}`))
		require.NoError(t, err, said)
		require.Equal(t, want, string(reply.Output), said)
		require.Equal(t, []any{"m-1", 3, 1}, []any{reply.Details["model"], reply.Details["prompt_tokens"], reply.Details["completion_tokens"]})
	}
	require.Contains(t, (*requests)[0].body, `"response_format":{"type":"json_object"}`)
	require.Contains(t, (*requests)[0].body, `example: I want a refund`)

	words = "sales"
	_, err := run(t, r, "gpt_router", params(`{"message":"Hi","routes":[{"name":"billing"}]}`))
	var f *node.Failure
	require.ErrorAs(t, err, &f)
	require.Equal(t, []any{"BAD_REPLY", true}, []any{f.Code, f.Retryable}, "another attempt may do better")
}

// A model that is down fails the task with a code, and another attempt may do better.
func TestJudged_TheModelFails(t *testing.T) {
	s, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	r := registry(t, nodetypes.Deps{HTTP: guarded(t), Model: nodetypes.Model{BaseURL: s.URL, Key: "process-key", Name: "m"}})
	for typ, p := range map[string]string{
		"gpt_router":            `{"message":"Hi",` + routes + `}`,
		"gpt_conditional_block": `{"message":"Hi","condition":"is it?"}`,
		"eval":                  `{"config":{"eval_type":"llm_judge","config":{"criteria":"kind"}},"data":"text"}`,
	} {
		_, err := run(t, r, typ, params(p))
		var f *node.Failure
		require.ErrorAs(t, err, &f, typ)
		require.Equal(t, []any{"HTTP_503", true}, []any{f.Code, f.Retryable}, typ)
	}
}

// The built-in provider's choices are in logs of demos: they may never change.
func TestGPTRouter_DeterministicIsGolden(t *testing.T) {
	r := registry(t, nodetypes.Deps{})
	for message, want := range map[string]string{
		`"Where is my refund?"`: `{"route":"billing","confidence":1,"reasoning":"shares 1 of 1 words with the message","all_scores":{"billing":1,"Tech Support":0,"other":0},"user_message":"Where is my refund?"}`,
		`"Tech refund support"`: `{"route":"Tech Support","confidence":0.67,"reasoning":"shares 2 of 3 words with the message","all_scores":{"billing":0.33,"Tech Support":0.67,"other":0},"user_message":"Tech refund support"}`,
		`"Hello"`:               `{"route":"other","confidence":0,"reasoning":"no route shares a word with the message; the fallback is taken","all_scores":{"billing":0,"Tech Support":0,"other":0},"user_message":"Hello"}`,
	} {
		for _, p := range []string{`{"message":` + message + `,` + routes + `,"openai_api_key":"sk-x"}`, `{"config":{"message":` + message + `,` + routes + `}}`} {
			require.Empty(t, check(t, "gpt_router", p))
			reply, err := run(t, r, "gpt_router", params(p))
			require.NoError(t, err)
			require.Equal(t, want, string(reply.Output))
		}
	}
	call := params(`{` + routes + `}`)
	call.Upstream = []node.Upstream{{Task: "ask", Param: "x", Output: json.RawMessage(`"an invoice refund"`)}}
	reply, err := run(t, r, "gpt_router", call)
	require.NoError(t, err)
	require.Contains(t, string(reply.Output), `"route":"billing"`, "without a message, what came before is routed")
	for p, pointer := range map[string]string{
		`{}`: "/config/routes", `{"routes":[]}`: "/routes", `{"routes":7}`: "/routes", `{"routes":[{}]}`: "/routes/0/name",
		`{"routes":[{"name":"a"},{"name":"A"}]}`: "/routes/1/name", `{"routes":[{"name":"a","examples":7}]}`: "/routes/0/examples",
		`{"routes":[5]}`: "/routes/0", `{"routes":[{"name":"a"}],"temperature":9}`: "/temperature",
	} {
		faults := check(t, "gpt_router", p)
		require.NotEmpty(t, faults, p)
		require.Equal(t, pointer, faults[0].Pointer, p)
	}
}

func TestGPTConditional_UnderstandsAnswers(t *testing.T) {
	var words string
	r, _ := judge(t, &words)
	for said, branch := range map[string]string{
		`{"result":true,"reasoning":"so it is"}`: "true", `{"result":"no"}`: "false", "```json\n{\"answer\":\"Yes\"}\n```": "true",
		"Yes, it does.": "true", "**No**": "false", "FALSE": "false", "The answer is yes.": "true", `{"branch":"false"}`: "false",
		"maybe": "", "yes and no": "true", "It could be true or false": "", `{"other":1}`: "", "": "",
	} {
		words = said
		reply, err := run(t, r, "gpt_conditional_block", params(`{"message":"Hi","condition":"Is it a greeting?","model":"gpt-4o-mini","temperature":0.3,"true":"greet","false":"go"}`))
		if branch == "" {
			require.ErrorContains(t, err, "BAD_REPLY", said)
			continue
		}
		require.NoError(t, err, said)
		require.Contains(t, string(reply.Output), `"result":`+branch+`,"branch":"`+branch+`"`, said)
		require.Contains(t, string(reply.Output), map[string]string{"true": `"target":"greet"`, "false": `"target":"go"`}[branch])
	}
}

func TestGPTConditional_DeterministicIsGolden(t *testing.T) {
	r := registry(t, nodetypes.Deps{})
	for message, branch := range map[string]string{"I want my money back": "true", "Hello there": "false", "yes": "true", "No!": "false"} {
		reply, err := run(t, r, "gpt_conditional_block", params(`{"message":`+quote(message)+`,"condition":"Does the customer want money back?"}`))
		require.NoError(t, err)
		require.Contains(t, string(reply.Output), `"branch":"`+branch+`"`, message)
	}
	for p, pointer := range map[string]string{`{}`: "/config/condition", `{"condition":""}`: "/condition", `{"condition":7}`: "/condition", `{"config":{"condition":"x","base_url":"nowhere"}}`: "/config/base_url"} {
		faults := check(t, "gpt_conditional_block", p)
		require.NotEmpty(t, faults, p)
		require.Equal(t, pointer, faults[0].Pointer, p)
	}
	require.Empty(t, check(t, "gpt_conditional_block", `{"condition":{"input":"question"}}`))
}

// outcome is "passed score" or the failure's code.
func outcome(reply node.Reply, err error) string {
	if err != nil {
		return err.Error()
	}
	var o struct {
		Passed bool
		Score  json.Number
		Reason string
	}
	_ = json.Unmarshal(reply.Output, &o)
	b, _ := json.Marshal([]any{o.Passed, o.Score, o.Reason})
	return string(b)
}

func TestEval_Kinds(t *testing.T) {
	r := registry(t, nodetypes.Deps{})
	typ, _ := r.Get("eval")
	for config, want := range map[string]string{
		`{"eval_type":"schema","config":{"type":"object","required":["id"]}}`:                            `EVAL_FAILED: the output breaks the schema: /id is required`,
		`{"eval_type":"schema","config":{"schema":{"required":["id"]}},"on_failure":"warn"}`:             `[false,0,"the output breaks the schema: /id is required"]`,
		`{"eval_type":"schema","config":{"schema":"{\"type\":\"object\"}"}}`:                             `[true,1,"the output keeps to the schema"]`,
		`{"eval_type":"policy","config":{"expression":"output.n > 1 and nodes.a.n == 2 and input.q"}}`:   `[true,1,"all rules hold"]`,
		`{"eval_type":"policy","config":{"rules":["output.n > 5",{"name":"q","expression":"input.q"}]}}`: `EVAL_FAILED: rule 1 is not true of the output`,
		`{"eval_type":"custom","config":{"expression":"n / 4","threshold":0.5}}`:                         `[true,0.5,"the expression gave 0.5, 0.5 is needed"]`,
		`{"eval_type":"custom","config":{"expression":"{\"passed\": false, \"reason\": \"because\"}"}}`:  `EVAL_FAILED: because`,
		`{"eval_type":"custom","config":{"expression":"missing"},"on_failure":"compensate"}`:             `EVAL_FAILED: the expression does not hold`,
		`{"eval_type":"custom","config":{"expression":"output + []"}}`:                                   `EXPRESSION_FAILED`,
		`{"eval_type":"llm_judge","config":{"criteria":"n q"}}`:                                          `EVAL_FAILED: the judge gave 0.5, 0.7 is needed`,
		`{"eval_type":"llm_judge","config":{"criteria":["n"]}}`:                                          `[true,1,"the judge gave 1, 0.7 is needed: the output holds 1 of the criteria's 1 words"]`,
	} {
		p := json.RawMessage(`{"config":` + config + `}`)
		require.Empty(t, check(t, "eval", string(p)), config)
		call := node.Call{Params: p, Upstream: []node.Upstream{{Task: "a", Output: json.RawMessage(`{"n":2}`)}}}
		if typ.Computed(p) {
			call.Scope = &node.Scope{Output: json.RawMessage(`{"n":2}`), Nodes: map[string]json.RawMessage{"a": json.RawMessage(`{"n":2}`)}, Input: json.RawMessage(`{"q":1}`)}
		}
		require.Contains(t, outcome(run(t, r, "eval", call)), want, config)
	}
	for config, pointer := range map[string]string{
		`{}`: "/config/eval_type", `{"eval_type":"{{ x }}"}`: "/config/eval_type", `{"eval_type":"vibes"}`: "/config/eval_type",
		`{"eval_type":"schema"}`: "/config/config/schema", `{"eval_type":"schema","config":{"schema":{"type":"nonsense"}}}`: "/config/config/schema",
		`{"eval_type":"schema","config":{"schema":{"enum":["{{ x }}"]}}}`: "/config/config/schema",
		`{"eval_type":"policy"}`: "/config/config/rules", `{"eval_type":"policy","config":{"rules":["a ="]}}`: "/config/config/rules/0",
		`{"eval_type":"policy","config":{"rules":[{"name":"x"}]}}`: "/config/config/rules/0/expression",
		`{"eval_type":"custom"}`:                                   "/config/config/expression", `{"eval_type":"custom","config":{"expression":"a","threshold":2}}`: "/config/config/threshold",
		`{"eval_type":"llm_judge","on_failure":"shrug"}`: "/config/on_failure",
	} {
		faults := check(t, "eval", `{"config":`+config+`}`)
		require.NotEmpty(t, faults, config)
		require.Equal(t, pointer, faults[0].Pointer, config)
	}
}

func TestEval_Judge(t *testing.T) {
	var words string
	r, requests := judge(t, &words)
	for said, want := range map[string]string{
		`{"score":0.8,"reason":"fine"}`: `[true,0.8,"the judge gave 0.8, 0.7 is needed: fine"]`,
		`{"passed":"yes"}`:              `[true,1,"the judge gave 1, 0.7 is needed"]`,
		"85%":                           `[true,0.85,"the judge gave 0.85, 0.7 is needed"]`,
		`{"score":0.2,"reason":"poor"}`: `EVAL_FAILED: the judge gave 0.2, 0.7 is needed`,
		"fail? I cannot tell":           "BAD_REPLY",
	} {
		words = said
		reply, err := run(t, r, "eval", params(`{"config":{"eval_type":"llm_judge","on_failure":"retry","config":{"criteria":"kind","model":"j"}},"data":"text"}`))
		require.Contains(t, outcome(reply, err), want, said)
		if err != nil {
			var f *node.Failure
			require.ErrorAs(t, err, &f)
			require.True(t, f.Retryable, said)
		}
	}
	require.Contains(t, (*requests)[0].body, `"model":"j"`)
}
