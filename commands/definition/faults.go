package definition

import (
	"errors"
	"fmt"

	"quipu/commands/node"
	"quipu/domain"
)

// FaultsMax bounds the answer to a graph that is wrong everywhere.
const FaultsMax = 50

// Faults collects what is wrong, so that a client learns of all of it at once. Of several at one
// place the first stays.
type Faults struct {
	List []node.Fault
	seen map[string]bool
}

// Add notes a fault at a JSON pointer.
func (f *Faults) Add(pointer, format string, args ...any) {
	if len(f.List) >= FaultsMax || f.seen[pointer] {
		return
	}
	if f.seen == nil {
		f.seen = map[string]bool{}
	}
	f.seen[pointer] = true
	f.List = append(f.List, node.Fault{Pointer: pointer, Message: fmt.Sprintf(format, args...)})
}

// AddAll notes faults below a place.
func (f *Faults) AddAll(at string, list []node.Fault) {
	for _, one := range list {
		f.Add(at+one.Pointer, "%s", one.Message)
	}
}

// Refusal is nil without faults; else a join of one error of kind for each, the first of which
// carries the list as details.errors: {field, message} each, or with texts these.
func Refusal(kind domain.Kind, code string, faults []node.Fault, texts []string) error {
	type entry struct {
		Field   string `json:"field"`
		Message string `json:"message"`
	}
	var list any = texts
	if texts == nil {
		entries := make([]entry, len(faults))
		for i, f := range faults {
			entries[i] = entry{place(f.Pointer), f.Message}
		}
		list = entries
	}
	errs := make([]error, len(faults))
	for i, f := range faults {
		e := domain.E(kind, "", "", f.Message).WithField(place(f.Pointer)).WithCode(code)
		if i == 0 {
			e = e.WithDetails(map[string]any{"errors": list})
		}
		errs[i] = e
	}
	return errors.Join(errs...)
}

// place names the root of a body, which as a pointer is empty.
func place(pointer string) string {
	if pointer == "" {
		return "body"
	}
	return pointer
}
