package expression_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/commands/expression"
	"quipu/commands/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func scope() node.Scope {
	return node.Scope{
		Output: json.RawMessage(`{"route":"billing","score":0.75,"n":3,"big":9007199254740993,"huge":1e400,` +
			`"items":[{"x":1},{"x":2},{"x":3}],"nested":{"a":{"b":[10,20,30]}},"empty":"","zero":0,"none":null,` +
			`"yes":true,"text":"Grüße","long":123456789012345678901234567890,"output":"shadowed","1.0":1.0}`),
		Nodes: map[string]json.RawMessage{
			"fetch data": json.RawMessage(`{"status":200}`),
			"say":        json.RawMessage(`"{\"route\": \"a\"}"`),
			"bad":        json.RawMessage(`{"a":`),
		},
		Input: json.RawMessage(`{"user":{"age":42}}`),
	}
}

func TestEval_Values(t *testing.T) {
	for src, want := range map[string]string{
		// names
		`route`:                            `"billing"`,
		`missing`:                          `null`,
		`output.route`:                     `"billing"`,
		`output["output"]`:                 `"shadowed"`,
		`nodes["fetch data"].status`:       `200`,
		`nodes.say`:                        `"{\"route\": \"a\"}"`,
		`fromJSON(nodes.say).route`:        `"a"`,
		`input.user.age + 1`:               `43`,
		`input.user.missing`:               `null`,
		`none?.a.b.c`:                      `null`,
		`missing?.get("a")`:                `null`,
		`nested.a.b[-1]`:                   `30`,
		`nested.a.b[1:]`:                   `[20,30]`,
		`text[0:3]`:                        `"Grü"`,
		`text[-2:]`:                        `"ße"`,
		`nested.a.b[5:9]`:                  `[]`,
		`let a = n; a * a`:                 `9`,
		`let output = 1; output`:           `1`,
		`{"a": n, b: [1, "x"]}`:            `{"a":3,"b":[1,"x"]}`,
		`if n > 2 { "many" } else { "x" }`: `"many"`,
		`empty ?: "fallback"`:              `"fallback"`,
		`n > 2 ? "many" : "few"`:           `"many"`,
		`none ?? "d"`:                      `"d"`,
		// Python's spelling
		`True and not False`:                 `true`,
		`None`:                               `null`,
		`route == 'billing' and score > 0.5`: `true`,
		`empty or "default"`:                 `"default"`,
		`n and route`:                        `"billing"`,
		`len(items) == 3`:                    `true`,
		`len(text)`:                          `5`,
		`output.get("route")`:                `"billing"`,
		`output.get("nope")`:                 `null`,
		`output.get("nope", "d")`:            `"d"`,
		`output.get("none", "d")`:            `null`,
		`nodes.get("nope", {}).get("x", 7)`:  `7`,
		`input.get("user").get("age")`:       `42`,
		`1 < n < 4`:                          `true`,
		`1 < n < 3`:                          `false`,
		`"ill" in route`:                     `true`,
		`2 in [1, 2]`:                        `true`,
		`"a" in nested`:                      `true`,
		`"fetch data" in nodes`:              `true`,
		`"x" not in nodes`:                   `true`,
		`-7 % 3`:                             `2`,
		`7 % -3`:                             `-2`,
		`7.5 % 2`:                            `1.5`,
		`7 / 2`:                              `3.5`,
		`2 ** 10`:                            `1024`,
		`2 ** -1`:                            `0.5`,
		`not (route == 'x')`:                 `true`,
		// numbers
		`big`:                            `9007199254740993`,
		`big + 1`:                        `9007199254740994`,
		`big == 9007199254740992.0`:      `false`,
		`big > 9007199254740992.0`:       `true`,
		`huge`:                           `1e400`,
		`long`:                           `123456789012345678901234567890`,
		`output["1.0"]`:                  `1.0`,
		`output["1.0"] == 1`:             `true`,
		`[1, 2.0] == [1.0, 2]`:           `true`,
		`{"a": 1} == {"a": 1.0}`:         `true`,
		`"1" == 1`:                       `false`,
		`True == 1`:                      `false`,
		`-9223372036854775807 - 1`:       `-9223372036854775808`,
		`int("12") + int(3.9) + int("")`: ``,
		`int(" 12 ") + int(3.9)`:         `15`,
		`float("1e3")`:                   `1000`,
		`0.1 + 0.2`:                      `0.30000000000000004`,
		`round(2.5) + round(3.5)`:        `6`,
		`floor(-1.5) + ceil(1.2)`:        `0`,
		`abs(-3)`:                        `3`,
		`max(1, 2.5) + min([3, 1])`:      `3.5`,
		`sum([1, 2, 0.5])`:               `3.5`,
		`type(n)`:                        `"number"`,
		`str(items)`:                     `"[{\"x\":1},{\"x\":2},{\"x\":3}]"`,
		`upper(trim(" a "))`:             `"A"`,
		// predicates
		`filter(items, .x > 1)`:                   `[{"x":2},{"x":3}]`,
		`map(items, .x * 2)`:                      `[2,4,6]`,
		`items | map(.x) | sum()`:                 `6`,
		`any(items, .x == 2)`:                     `true`,
		`all(items, #index < 3)`:                  `true`,
		`none(items, .x == 9)`:                    `true`,
		`one(items, .x == 2)`:                     `true`,
		`count(items, .x > 1)`:                    `2`,
		`find(items, .x > 1)`:                     `{"x":2}`,
		`map([1, 2], any([3, #], # == 2))`:        `[false,true]`,
		`first(items).x + last(items).x`:          `4`,
		`first([])`:                               `null`,
		`route matches "^b.*g$"`:                  `true`,
		`route startsWith "b"`:                    `true`,
		`route contains "xx"`:                     `false`,
		`route not contains "xx"`:                 `true`,
		`output == output and nodes.say != route`: `true`,
	} {
		got, err := expression.Eval(src, scope())
		if want == "" {
			require.Error(t, err, src)
			continue
		}
		require.NoError(t, err, src)
		require.Equal(t, want, string(got), src)
	}
}

func TestTruth_IsPythons(t *testing.T) {
	for src, want := range map[string]bool{
		`None`: false, `""`: false, `0`: false, `0.0`: false, `[]`: false, `{}`: false, `zero`: false,
		`"false"`: true, `-1`: true, `[0]`: true, `nodes`: true, `yes`: true, `missing`: false,
	} {
		got, err := expression.Truth(src, scope())
		require.NoError(t, err, src)
		require.Equal(t, want, got, src)
	}
}

// A wrong expression is refused before a run starts, and the message names the token to mend.
func TestCompile_RefusalsNameTheToken(t *testing.T) {
	for src, token := range map[string]string{
		``:                             "",
		`  `:                           "",
		`a +`:                          "",
		`now()`:                        "now",
		`date("2020-01-01")`:           "date",
		`keys(output)`:                 "keys",
		`repeat("a", 1000000)`:         "repeat",
		`reduce(items, #acc + #, 0)`:   "reduce",
		`sortBy(items, .x)`:            "sortBy",
		`route.lower()`:                "lower",
		`a is None`:                    "is",
		`"a" if n else "b"`:            "if",
		`7 // 2`:                       "//",
		`n /* x */`:                    "/*",
		`1..1000000`:                   "..",
		`n ^ 2`:                        "^",
		`not route == 'x'`:             "not",
		`not "a" in route`:             "not",
		`1 == n == 3`:                  "==",
		`1 < n == 3`:                   "==",
		`a; b`:                         "",
		`$env`:                         "$env",
		`route matches route`:          "matches",
		`route matches "("`:            `"("`,
		`len()`:                        "len",
		`len(1, 2)`:                    "len",
		`x.get()`:                      "get",
		`unknown(1)`:                   "unknown",
		`(1)(2)`:                       "(",
		`__import__("os")`:             "__import__",
		`b"x"`:                         `b"x"`,
		"\xff":                         "",
		`#`:                            "#",
		`99999999999999999999`:         "",
		strings.Repeat("(", 4000):      "",
		strings.Repeat("a+", 1200):     "",
		strings.Repeat("x", 5000):      "",
		strings.Repeat("[", 600) + `1`: "",
		`lambda x: x`:                  "x",
	} {
		_, err := expression.Compile(src)
		var syntax *expression.SyntaxError
		require.ErrorAs(t, err, &syntax, src)
		if token != "" {
			require.Equal(t, token, syntax.Token, "%s: %v", src, err)
		}
	}
}

func TestEval_ErrorsNameKindsNotValues(t *testing.T) {
	for src, want := range map[string]string{
		`huge > 1`:                    "the number 1e400 is out of range",
		`none.a`:                      `None has no field "a"`,
		`route.a`:                     `string has no field "a"`,
		`items[3]`:                    "index 3 is out of range of 3 items",
		`items[0.5]`:                  "array cannot be indexed with number",
		`route < 1`:                   "< cannot compare string with number",
		`route + 1`:                   "+ cannot take string and number",
		`1 / 0`:                       "division by zero",
		`1 % zero`:                    "division by zero",
		`9223372036854775807 + 1`:     "the result of + is out of range",
		`-9223372036854775807 - 2`:    "the result of - is out of range",
		`9223372036854775807 * 2`:     "the result of * is out of range",
		`2 ** 63`:                     "the result of ** is out of range",
		`1e308 * 10`:                  "the result of * is out of range",
		`int(1e30)`:                   "the number is out of an integer's range",
		`-(-9223372036854775807 - 1)`: "the result of - is out of range",
		`nodes.bad`:                   "the data is not JSON",
		`len(n)`:                      "len needs a string, an array or an object, not number",
		`1 in 2`:                      "in needs a string, an array or an object on its right, not number",
		`route.get("a")`:              "get needs an object, not string",
		`any(route, #)`:               "any needs an array, not string",
		`int("0x10")`:                 "int cannot read the text as a number",
		`float("inf")`:                "float cannot read the text as a number",
		`{(n): 1}`:                    "an object's key must be a string",
		`n[0:1]`:                      "number cannot be sliced",
		`max([])`:                     "max of nothing",
	} {
		_, err := expression.Eval(src, scope())
		var failed *expression.EvalError
		require.ErrorAs(t, err, &failed, src)
		require.Equal(t, want, failed.Reason, src)
	}
}

// If one of these were not stopped, a single condition would hold up a run's decisions or take
// the process's memory.
func TestEval_HostileExpressionsAreStopped(t *testing.T) {
	items := "[" + strings.Repeat("1,", 999) + "1]"
	wide := node.Scope{Output: json.RawMessage(`{"a":` + items + `,"s":"` + strings.Repeat("x", 200_000) + `"}`)}
	var lets strings.Builder
	lets.WriteString("let v0 = s; ")
	for i := range 60 {
		fmt.Fprintf(&lets, "let v%d = v%d + v%d; ", i+1, i, i)
	}
	var arrays strings.Builder
	arrays.WriteString("let v0 = a; ")
	for i := range 60 {
		fmt.Fprintf(&arrays, "let v%d = [v%d, v%d]; ", i+1, i, i)
	}
	for name, src := range map[string]string{
		"nested loops":     "all(a, all(a, all(a, all(a, true))))",
		"doubling strings": lets.String() + "v60",
		"doubling arrays":  arrays.String() + "v60 == v60",
		"rendered":         arrays.String() + "v60",
		"text in a loop":   "all(a, s == s + '')",
		"deep equality":    "all(a, a == a)",
		"regexp in a loop": "all(a, not (s matches '(x+x+)+y'))",
		"elvis":            strings.Repeat("(", 300) + "0" + strings.Repeat(" ?: 0)", 300) + " and all(a, all(a, true))",
		"chained":          chained(60),
	} {
		t.Run(name, func(t *testing.T) {
			started := time.Now()
			_, err := expression.Eval(src, wide)
			var failed *expression.EvalError
			if name != "elvis" || err != nil { // elvis is about compiling in linear time
				require.ErrorAs(t, err, &failed)
				require.Contains(t, failed.Reason, "steps over this data")
			}
			require.Less(t, time.Since(started), 5*time.Second)
		})
	}
	_, err := expression.Eval("output", node.Scope{Output: json.RawMessage(`"` + strings.Repeat("x", expression.ScopeBytesMax) + `"`)})
	require.EqualError(t, err, "the data has more than 1048576 bytes")
}

// chained nests comparisons whose middle is evaluated twice on each level.
func chained(depth int) string {
	src := "1"
	for range depth {
		src = "0 <= len([" + src + "]) <= 1"
	}
	return src
}

func TestEval_IsDeterministic(t *testing.T) {
	var object strings.Builder
	object.WriteString(`{"z":0`)
	for i := range 200 {
		fmt.Fprintf(&object, `,"k%d":%d`, i, i)
	}
	object.WriteString("}")
	s := node.Scope{Output: json.RawMessage(object.String()), Nodes: map[string]json.RawMessage{"a": json.RawMessage("1"), "b": json.RawMessage("2"), "c": json.RawMessage(`"x"`)}}
	for _, src := range []string{"output", "str(output)", "nodes", "nodes == nodes", `{"b": nodes, "a": 1}`} {
		want, err := expression.Eval(src, s)
		require.NoError(t, err)
		for range 20 {
			got, err := expression.Eval(src, s)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got))
		}
	}
}

// The cache is shared by all runs: it must neither grow without bound nor race.
func TestCompile_ConcurrentUse(t *testing.T) {
	var group sync.WaitGroup
	for g := range 4 {
		group.Go(func() {
			for i := range 600 {
				src := fmt.Sprintf("n + %d", (i*7+g)%1500)
				got, err := expression.Eval(src, scope())
				if err != nil || string(got) != fmt.Sprint(3+(i*7+g)%1500) {
					t.Errorf("%s gave %s, %v", src, got, err)
				}
			}
		})
	}
	group.Wait()
}

func BenchmarkTruth_Route(b *testing.B) {
	b.ReportAllocs()
	s := node.Scope{Output: json.RawMessage(`{"route":"billing","confidence":0.9}`)}
	for b.Loop() {
		if yes, err := expression.Truth("route == 'billing'", s); !yes || err != nil {
			b.Fatal(yes, err)
		}
	}
}

func FuzzEval(f *testing.F) {
	for _, src := range []string{
		"route == 'x'", "not a", "output.get('a', 1)", "a ?: b ?: c", "filter(items, .x > 1)", "1 < n < 3", "let a = 1; a + a",
		"`raw` + \"\\u00e9\"", "[1,2][-1:]", "{a: 1}.a", "x?.y[0]?.z()", "a | map(# + 1)", "if a { 1 } else { 2 }", "'", "((", "a matches '['",
	} {
		f.Add(src, `{"a":[1,2.5,1e400,"x",null,{"b":{}}],"n":3}`)
	}
	f.Fuzz(func(t *testing.T, src, data string) {
		s := node.Scope{Output: json.RawMessage(data), Nodes: map[string]json.RawMessage{"n": json.RawMessage(data)}}
		first, err := expression.Eval(src, s)
		again, err2 := expression.Eval(src, s)
		require.Equal(t, string(first), string(again))
		require.Equal(t, err, err2)
		if err == nil {
			require.True(t, json.Valid(first), "%q", first)
			_, err = expression.Truth(src, s)
			_ = err // a result may hold a number that has no truth, e.g. 1e400
		}
	})
}
