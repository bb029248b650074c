package workflow

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// GatesMax is the most conditional edges that may leave one task: their results stand together in
// its task_completed, which must fit an append.
const GatesMax = 10_000

// Graph is a checked Definition with the indexes deciding needs. It is immutable.
type Graph struct {
	Nodes []Node
	Edges []Edge
	Refs  [][]Ref // parameters by node

	Succ  [][]int32 // successors of a node, each once, ascending
	Preds []int32   // number of distinct predecessors of a node
	Gates [][]int32 // indexes into Edges of the conditional edges that leave a node
	Gated []bool    // whether a conditional edge enters the node

	edgesIn    [][]int32 // indexes into Edges of the edges that enter a node with templates; nil if there is none
	sealed     []bool
	edgeTarget []int32
	index      map[string]int
}

// Index returns the place of a node by name.
func (g *Graph) Index(name string) (int, bool) {
	i, ok := g.index[name]
	return i, ok
}

// Target returns the node an edge leads to.
func (g *Graph) Target(edge int) int { return int(g.edgeTarget[edge]) }

// EdgesIn lists the edges that enter node i, as indexes into Edges in their order. Only nodes with
// templates are indexed: others take no data from edges.
func (g *Graph) EdgesIn(i int) []int32 {
	if g.edgesIn == nil {
		return nil
	}
	return g.edgesIn[i]
}

// Compile checks d and builds its graph. hasInput says which keys {"input": …} may name; nil
// accepts all. Errors: ErrInvalid naming the field (a JSON pointer below "tasks" or "edges"), the
// fault and the fix: no task, too many, an empty or double name, an unknown name in depends or an
// edge, a self-reference, a cycle (named), params that are no object, a retry policy that is no policy.
func Compile(d Definition, hasInput func(string) bool) (*Graph, error) {
	if len(d.Nodes) == 0 {
		return nil, fault("/tasks", "has no task; add at least one")
	}
	if len(d.Nodes) > domain.TasksMax {
		return nil, fault("/tasks", fmt.Sprintf("has %d tasks, at most %d are allowed", len(d.Nodes), domain.TasksMax))
	}
	g := &Graph{
		Nodes: d.Nodes, Edges: d.Edges,
		Refs:       make([][]Ref, len(d.Nodes)),
		Succ:       make([][]int32, len(d.Nodes)),
		Preds:      make([]int32, len(d.Nodes)),
		Gates:      make([][]int32, len(d.Nodes)),
		Gated:      make([]bool, len(d.Nodes)),
		edgeTarget: make([]int32, len(d.Edges)),
		index:      make(map[string]int, len(d.Nodes)),
	}
	if err := g.indexNames(); err != nil {
		return nil, err
	}
	link := newLinker(g)
	if err := g.checkNodes(); err != nil {
		return nil, err
	}
	if err := g.linkParams(link, hasInput); err != nil {
		return nil, err
	}
	if err := g.linkEdges(link); err != nil {
		return nil, err
	}
	for _, succ := range g.Succ {
		slices.Sort(succ)
	}
	if cycle := g.cycle(); cycle != nil {
		return nil, fault("/tasks", "depend on each other in a cycle: "+listCycle(cycle)+"; remove one of these dependencies")
	}
	return g, nil
}

// listCycle joins the names along a cycle and leaves out the middle of a long one.
func listCycle(names []string) string {
	const shown = 10
	var b strings.Builder
	for i, n := range names {
		if len(names) > 2*shown && i == shown {
			fmt.Fprintf(&b, " -> … %d more …", len(names)-2*shown)
		}
		if len(names) > 2*shown && i >= shown && i < len(names)-shown {
			continue
		}
		if i > 0 {
			b.WriteString(" -> ")
		}
		b.WriteString(rawjson.Clip(n))
	}
	return b.String()
}

func (g *Graph) indexNames() error {
	for i, n := range g.Nodes {
		at := "/tasks/" + strconv.Itoa(i) + "/name"
		if err := CheckName(n.Name); err != nil {
			return fault(at, err.Error())
		}
		if _, dup := g.index[n.Name]; dup {
			return fault(at, fmt.Sprintf("%q is the name of two tasks; names must differ", n.Name))
		}
		g.index[n.Name] = i
	}
	return nil
}

// checkNodes looks at what each task has beside its name.
func (g *Graph) checkNodes() error {
	for i := range g.Nodes {
		n, at := &g.Nodes[i], "/tasks/"+strconv.Itoa(i)
		switch kind := rawjson.KindOf(n.Params.JSON); {
		case kind != rawjson.Object && kind != rawjson.Null:
			return fault(at+"/params", "must be an object")
		case n.Timeout < 0:
			return fault(at+"/timeout", "is negative; leave it out for the default")
		case n.Timer && (n.Pure || n.Calls != ""):
			return fault(at+"/timer", "cannot be set for a task that computes or calls")
		case n.Waits != "" && n.Waits != WaitsApproval && n.Waits != WaitsEvent:
			return fault(at+"/waits", "must be "+WaitsApproval+" or "+WaitsEvent)
		case n.Waits != "" && (n.Pure || n.Timer || n.Calls != ""):
			return fault(at+"/waits", "cannot be set for a task that computes, calls or is a timer")
		}
		if field, message := n.Retry.check(); field != "" {
			return fault(at+"/retry", field+" "+message)
		}
	}
	return nil
}

// CheckName reports why s cannot name a task, flow or run (contract D6): 1..NameBytesMax bytes of
// valid UTF-8 without control characters.
func CheckName(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("is empty; give 1 to %d bytes", domain.NameBytesMax)
	case len(s) > domain.NameBytesMax:
		return fmt.Errorf("has %d bytes, at most %d are allowed", len(s), domain.NameBytesMax)
	case !utf8.ValidString(s):
		return fmt.Errorf("is not valid UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("contains a control character; remove it")
	}
	return nil
}

// linker adds each dependency once.
type linker struct {
	g    *Graph
	seen map[[2]int32]struct{}
}

func newLinker(g *Graph) *linker { return &linker{g: g, seen: make(map[[2]int32]struct{})} }

func (l *linker) add(from, to int) {
	k := [2]int32{int32(from), int32(to)}
	if _, dup := l.seen[k]; dup {
		return
	}
	l.seen[k] = struct{}{}
	l.g.Succ[from] = append(l.g.Succ[from], int32(to))
	l.g.Preds[to]++
}

func (g *Graph) linkParams(link *linker, hasInput func(string) bool) error {
	for i := range g.Nodes {
		g.Refs[i] = Refs(g.Nodes[i].Params)
		for _, r := range g.Refs[i] {
			at := "/tasks/" + strconv.Itoa(i) + "/params/" + rawjson.EscapeKey(r.Param)
			switch r.Kind {
			case RefDepends, RefMapping:
				from, ok := g.index[r.Name]
				if !ok {
					return fault(at+"/depends", fmt.Sprintf("names %q, which is no task; name one of the tasks", rawjson.Clip(r.Name)))
				}
				if from == i {
					return fault(at+"/depends", fmt.Sprintf("task %q depends on itself", rawjson.Clip(r.Name)))
				}
				link.add(from, i)
			case RefInput:
				if hasInput != nil && !hasInput(r.Name) {
					return fault(at+"/input", fmt.Sprintf("names %q, which is not in default_inputs; add it there", rawjson.Clip(r.Name)))
				}
			}
		}
	}
	return nil
}

func (g *Graph) linkEdges(link *linker) error {
	for i, e := range g.Edges {
		at := "/edges/" + strconv.Itoa(i)
		from, ok := g.index[e.Source]
		if !ok {
			return fault(at+"/source", fmt.Sprintf("names %q, which is no task", rawjson.Clip(e.Source)))
		}
		to, ok := g.index[e.Target]
		if !ok {
			return fault(at+"/target", fmt.Sprintf("names %q, which is no task", rawjson.Clip(e.Target)))
		}
		if from == to {
			return fault(at, fmt.Sprintf("leads from task %q to itself", rawjson.Clip(e.Source)))
		}
		g.edgeTarget[i] = int32(to)
		link.add(from, to)
		if g.Nodes[to].Templates {
			if g.edgesIn == nil {
				g.edgesIn = make([][]int32, len(g.Nodes))
			}
			g.edgesIn[to] = append(g.edgesIn[to], int32(i))
		}
		if e.Condition != "" {
			if len(g.Gates[from]) == GatesMax {
				return fault(at, fmt.Sprintf("task %q has more than %d conditional edges; remove some", rawjson.Clip(e.Source), GatesMax))
			}
			g.Gates[from] = append(g.Gates[from], int32(i))
			g.Gated[to] = true
		}
	}
	return nil
}

// cycle returns the names along one cycle, first name repeated at the end, or nil.
func (g *Graph) cycle() []string {
	left := make([]int32, len(g.Preds))
	copy(left, g.Preds)
	queue := make([]int, 0, len(left))
	for i, n := range left {
		if n == 0 {
			queue = append(queue, i)
		}
	}
	for done := 0; done < len(queue); done++ {
		for _, s := range g.Succ[queue[done]] {
			if left[s]--; left[s] == 0 {
				queue = append(queue, int(s))
			}
		}
	}
	if len(queue) == len(left) {
		return nil
	}
	return g.walkCycle(left)
}

// walkCycle goes backwards through nodes that Kahn's algorithm left over; each has a predecessor
// that is left over too, so the walk must meet itself.
func (g *Graph) walkCycle(left []int32) []string {
	pred := make(map[int]int)
	for i := range g.Succ {
		if left[i] == 0 {
			continue
		}
		for _, s := range g.Succ[i] {
			pred[int(s)] = i
		}
	}
	at := -1
	for i, n := range left {
		if n > 0 {
			at = i
			break
		}
	}
	seen := make(map[int]int)
	var walk []int
	for {
		if from, met := seen[at]; met {
			walk = walk[from:]
			break
		}
		seen[at] = len(walk)
		walk = append(walk, at)
		at = pred[at]
	}
	slices.Reverse(walk)
	// Begin with the task that comes first in the definition: that is where people look first.
	first := slices.Index(walk, slices.Min(walk))
	names := make([]string, 0, len(walk)+1)
	for i := range walk {
		names = append(names, g.Nodes[walk[(first+i)%len(walk)]].Name)
	}
	return append(names, names[0])
}

func fault(field, message string) error {
	return domain.E(domain.KindInvalid, "", "", message).WithField(field).WithCode("INVALID_GRAPH")
}

// SealsOutput reports whether the output of node i is used under a secret key downstream, so that
// it must be sealed as a whole (contract D10).
func (g *Graph) SealsOutput(i int) bool { return g.sealed != nil && g.sealed[i] }

// SealOutputs records the tasks whose outputs flow into secret keys. Call it before the graph is
// shared.
func (g *Graph) SealOutputs(tasks []string) {
	for _, name := range tasks {
		if i, ok := g.index[taskName(name)]; ok {
			if g.sealed == nil {
				g.sealed = make([]bool, len(g.Nodes))
			}
			g.sealed[i] = true
		}
	}
}
