package commands

import (
	"regexp"
	"slices"
	"strings"

	"quipu/commands/sealing"
	"quipu/domain/rawjson"
	"quipu/domain/workflow"
)

// secretFlows tells what a definition passes under secret keys, by references and by templates
// (contract D10): at are places of the input, tasks those whose outputs are sealed as a whole. raw is
// the stored form of d.
//
// A template that reads input.key or nodes.task tells what it takes. Any other may take everything
// that reaches its node: more is sealed then than had to be, never less.
func secretFlows(d workflow.Definition, raw []byte) (at, tasks []string) {
	inputs, tasks := sealing.FlowsIntoSecret(raw)
	for _, k := range inputs {
		at = append(at, "/"+rawjson.EscapeKey(k))
	}
	f := flows{definition: d}
	for i := range d.Nodes {
		if d.Nodes[i].Templates {
			for _, t := range sealing.TemplatesInSecret(d.Nodes[i].Params.JSON) {
				f.template(d.Nodes[i].Name, t.Text)
			}
		}
	}
	if f.wholeInput {
		return []string{""}, append(tasks, f.tasks...)
	}
	return append(at, f.at...), append(tasks, f.tasks...)
}

type flows struct {
	definition workflow.Definition
	at, tasks  []string
	wholeInput bool
	seen       map[string]bool     // tasks
	entered    map[string]bool     // tasks whose sources are noted
	index      map[string]int      // nodes by name
	sources    map[string][]string // of the edges that enter a task
}

// prepare builds the indexes once there is something to look for: hostile definitions must stay
// linear.
func (f *flows) prepare() {
	if f.index != nil {
		return
	}
	f.seen, f.entered = map[string]bool{}, map[string]bool{}
	f.index, f.sources = make(map[string]int, len(f.definition.Nodes)), map[string][]string{}
	for i := range f.definition.Nodes {
		f.index[f.definition.Nodes[i].Name] = i
	}
	for _, e := range f.definition.Edges {
		f.sources[e.Target] = append(f.sources[e.Target], e.Source)
	}
}

var (
	// member finds input.key, input["key"], nodes.task and nodes["task"]. A call such as input.get(…)
	// is none.
	member = regexp.MustCompile(`\b(input|nodes)\s*(?:\.\s*([A-Za-z_]\w*)\b(?:\s*\()?|\[\s*(?:"([^"\\]*)"|'([^'\\]*)')\s*\])`)
	quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'`)
	word   = regexp.MustCompile(`[A-Za-z_]\w*`)
	// harmless are words that read nothing.
	harmless = strings.Fields("and or not in if else true false nil None True False string str upper lower trim")
)

// template notes what one string under a secret key reads.
func (f *flows) template(node, text string) {
	for _, part := range strings.Split(text, "{{")[1:] {
		source, _, _ := strings.Cut(part, "}}")
		rest := member.ReplaceAllStringFunc(source, func(m string) string {
			g := member.FindStringSubmatch(m)
			key := g[2] + g[3] + g[4]
			if strings.HasSuffix(m, "(") || key == "" {
				return g[1]
			}
			if g[1] == "input" {
				f.at = append(f.at, "/"+rawjson.EscapeKey(key))
			} else {
				f.task(key)
			}
			return " "
		})
		rest = quoted.ReplaceAllString(rest, " ")
		for _, w := range word.FindAllString(rest, -1) {
			switch {
			case slices.Contains(harmless, w):
			case w == "input":
				f.wholeInput = true
			case w == "nodes":
				f.wholeInput = true
				for i := range f.definition.Nodes {
					f.task(f.definition.Nodes[i].Name)
				}
			default:
				f.before(node)
			}
		}
	}
}

// before notes what reaches a node by its edges.
func (f *flows) before(node string) {
	f.prepare()
	if f.entered[node] {
		return
	}
	f.entered[node] = true
	for _, source := range f.sources[node] {
		f.task(source)
	}
}

// task notes the output of a task. A pure one passes on what it reads, of which masks are all it
// sees, so the sources before it are sealed instead.
func (f *flows) task(name string) {
	f.prepare()
	if f.seen[name] {
		return
	}
	f.seen[name] = true
	i, ok := f.index[name]
	if !ok {
		return
	}
	if !f.definition.Nodes[i].Pure {
		f.tasks = append(f.tasks, name)
		return
	}
	f.wholeInput = true
	f.before(name)
}
