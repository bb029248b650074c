package embedded

import "sync"

// pace holds the preparation of the next segment back to a multiple of the rate at which the active
// one fills. Written as fast as the disk takes it, 64 MiB of zeros stand in the way of commits for
// as long as that lasts: at 256 flows at once commits stalled up to a third of a second.
type pace struct {
	mu       sync.Mutex
	changed  sync.Cond
	usedTo   int64
	times    int64
	hurrying bool // a commit waits for the segment
	stopped  bool
}

// paceAhead is what may be prepared at once; beyond it the next segment grows in proportion to what
// is used of the active one, so that it is ready when that is half full.
const paceAhead = 2 << 20

func (p *pace) start(used int64) {
	p.changed.L = &p.mu
	p.usedTo = used
}

// wait returns when more than done bytes may be prepared; false means to give up.
func (p *pace) wait(done int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.stopped && !p.hurrying && done >= paceAhead+p.times*p.usedTo {
		p.changed.Wait()
	}
	return !p.stopped
}

// begin sets the rate for a segment of size next beside an active one of size active.
func (p *pace) begin(active, next int64) {
	p.set(func() { p.times = 2 * max(1, (next+active-1)/active) })
}

func (p *pace) set(change func()) {
	p.mu.Lock()
	change()
	p.mu.Unlock()
	p.changed.Broadcast()
}

func (p *pace) used(to int64)  { p.set(func() { p.usedTo = to }) }
func (p *pace) hurry(yes bool) { p.set(func() { p.hurrying = yes }) }
func (p *pace) stop()          { p.set(func() { p.stopped = true }) }
