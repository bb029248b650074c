package guard

import (
	"sync"
	"time"
)

// TellEvery is how often a refusal of one reason is told of: whoever tries keys shall not fill the
// disk with log lines.
const TellEvery = 10 * time.Second

// teller counts what was not told. There are as many entries as reasons.
type teller struct {
	mu    sync.Mutex
	until map[string]time.Time
	kept  map[string]int
}

// ask reports whether to tell now, and of how many that were kept back.
func (t *teller) ask(reason string, now time.Time) (more int, tell bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Before(t.until[reason]) {
		t.kept[reason]++
		return 0, false
	}
	if t.until == nil {
		t.until, t.kept = map[string]time.Time{}, map[string]int{}
	}
	more = t.kept[reason]
	t.until[reason], t.kept[reason] = now.Add(TellEvery), 0
	return more, true
}
