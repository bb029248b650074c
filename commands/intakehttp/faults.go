package intakehttp

import (
	"errors"
	"fmt"
	"slices"

	"quipu/domain"
)

// faults collects what is wrong with a request, so that a client learns of all of it at once.
type faults struct{ list []Fault }

// Fault is one entry of the details of a refused request.
type Fault struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// faultsMax bounds the answer to a request that is wrong everywhere.
const faultsMax = 50

// add notes a fault; of several with one field, which the parser and a node type may both look at,
// the first stays.
func (f *faults) add(field, format string, args ...any) {
	known := slices.ContainsFunc(f.list, func(have Fault) bool { return have.Field == field })
	if !known && len(f.list) < faultsMax {
		f.list = append(f.list, Fault{Field: field, Message: fmt.Sprintf(format, args...)})
	}
}

// err is nil without faults; else a join of one error of kind for each field, the first of which
// carries the list in its details.
func (f *faults) err(kind domain.Kind, code string) error {
	errs := make([]error, len(f.list))
	for i, fault := range f.list {
		e := domain.E(kind, "", "", fault.Message).WithField(fault.Field).WithCode(code)
		if i == 0 {
			e = e.WithDetails(map[string]any{"errors": f.list})
		}
		errs[i] = e
	}
	return errors.Join(errs...)
}
