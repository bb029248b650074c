package intakehttp

import (
	"fmt"

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

func (f *faults) add(field, format string, args ...any) {
	if len(f.list) < faultsMax {
		f.list = append(f.list, Fault{Field: field, Message: fmt.Sprintf(format, args...)})
	}
}

// err is nil without faults; else an error of kind that carries all of them.
func (f *faults) err(kind domain.Kind, code string) error {
	if len(f.list) == 0 {
		return nil
	}
	first := f.list[0]
	return domain.E(kind, "", "", first.Message).WithField(first.Field).WithCode(code).
		WithDetails(map[string]any{"errors": f.list})
}
