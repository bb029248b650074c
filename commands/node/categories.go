package node

import "sort"

// Category is a group of types for people.
type Category struct {
	Name  string
	Types []*Type // by name
}

// Categories groups types by category, by name.
func Categories(types []*Type) []Category {
	var out []Category
	at := map[string]int{}
	for _, t := range types {
		i, ok := at[t.Category]
		if !ok {
			i = len(out)
			at[t.Category] = i
			out = append(out, Category{Name: t.Category})
		}
		out[i].Types = append(out[i].Types, t)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// String is the kind in one word.
func (k Kind) String() string {
	switch k {
	case Effect:
		return "effect"
	case Pure:
		return "pure"
	case Timer:
		return "timer"
	case Wait:
		return "wait"
	}
	return "unknown"
}
