package domaintest

import (
	"fmt"

	"quipu/domain/run"
)

// CheckFacts checks a run's events as a log gave them back, from revision 0 on, against the model.
// Where one append ended and the next began is not known here, so what holds per append is not
// checked.
func CheckFacts(facts []run.Fact) error {
	if len(facts) == 0 {
		return nil
	}
	m := newModel(facts[0])
	for i, f := range facts {
		if err := m.add(f, facts[max(i-1, 0):i]); err != nil {
			return fmt.Errorf("revision %d (%s): %w", f.Revision, Describe(f.Event), err)
		}
	}
	return nil
}
