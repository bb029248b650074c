package commands

import (
	"time"

	"quipu/domain"
	"quipu/domain/run"
)

// input is something that happened: a command, the outcome of an append or a load, a due timer.
type input interface{ shardInput() }

type (
	// inStart opens a mailbox for a run that does not exist yet. Without a place its start is stored
	// and the run waits.
	inStart struct {
		runID    string
		session  *Session
		envelope envelope
		place    bool
	}
	// inOpen hands a place to a run that exists: recovery and activation.
	inOpen struct{ runID string }
	// inVisit is a command from outside for a run that may be active or not.
	inVisit struct {
		runID    string
		envelope envelope
	}
	// inCommand is for an active run.
	inCommand struct {
		runID    string
		envelope envelope
	}
	// inAppended is the outcome of an append.
	inAppended struct {
		runID    string
		flight   *flight
		appended Appended
		err      error
	}
	// inRepeat sends an append again after its backoff.
	inRepeat struct {
		runID  string
		flight *flight
	}
	// inLoaded is the outcome of a load.
	inLoaded struct {
		runID   string
		loaded  loaded
		session *Session
		err     error
	}
	// inTimer says that an outTimer's time has passed, or, if it is not over, as much of it as one
	// timer waits.
	inTimer struct {
		runID, task string
		at          time.Time
		over        bool
	}
	// inPeek asks for the state of an active run, and optionally to be told its end.
	inPeek struct {
		runID string
		state chan<- *run.State // gets nil if the run is neither active nor lately ended; capacity 1
		ended chan<- *run.State // optional; capacity 1
	}
	// inSession asks for the session of an active run.
	inSession struct {
		runID   string
		session chan<- *Session // gets nil if the run is not active; capacity 1
	}
	// inSeen are events that the feed brought.
	inSeen struct{ events []seen }
	// inNodes says which nodes live.
	inNodes struct {
		alive []string
		gone  bool // one does no more
		look  bool // it is time to look for attempts of nodes that are gone, see shard.nodes
	}
	// inOwn and inDisown say that a run has become this node's to work on, or is so no more.
	inOwn    struct{ runID string }
	inDisown struct{ runID string }
	// inForget says that nobody waits any more for what inPeek asked to be told.
	inForget struct {
		runID string
		ended chan<- *run.State
	}
)

func (inStart) shardInput()    {}
func (inOpen) shardInput()     {}
func (inVisit) shardInput()    {}
func (inForget) shardInput()   {}
func (inCommand) shardInput()  {}
func (inAppended) shardInput() {}
func (inRepeat) shardInput()   {}
func (inLoaded) shardInput()   {}
func (inTimer) shardInput()    {}
func (inPeek) shardInput()     {}
func (inSession) shardInput()  {}
func (inSeen) shardInput()     {}
func (inNodes) shardInput()    {}
func (inOwn) shardInput()      {}
func (inDisown) shardInput()   {}

// output is something to carry out.
type output interface{ shardOutput() }

type (
	outAppend struct {
		runID  string
		stream domain.StreamID
		flight *flight
	}
	outRepeat struct {
		runID  string
		flight *flight
		after  time.Duration
	}
	outLoad struct {
		runID   string
		stream  domain.StreamID
		after   domain.Revision
		session *Session // to continue; nil begins one
		wait    time.Duration
	}
	outEffect struct{ attempt attempt }
	outTimer  struct {
		runID, task string
		at          time.Time
	}
	// outRetired says that a run left the shard.
	outRetired struct {
		runID       string
		status      string // how it ended, if it did so here
		place       bool   // it gives its place back
		held        bool   // its start found no place,
		waits       bool   // is stored, and the run waits for one
		sleeps      bool   // it has only to wait until due; shard.bed has promised a place for it
		due         time.Time
		wakes       bool // a command that came while it had no place may have given it something to do
		quarantined error
	}
	// outAwaits says that a task waits for an event of that name, or does so no more; no task stands for
	// all of the run's.
	outAwaits struct {
		runID, task, channel string
		over                 bool
	}
	// outWake asks for a place for a run of this node that has got something to do elsewhere.
	outWake struct{ runID string }
	// outDropped says that a run is another node's or has ended: it is no more among those that wait or sleep here.
	outDropped struct{ runID string }
	// outReseal asks for a result anew, sealed by the session that the run has now.
	outReseal struct {
		runID    string
		envelope envelope
	}
	// outPlace gives back a place that the run it was meant for has already, or does not need.
	outPlace struct {
		held bool // it is not a place but the promise that the run may wait for one
	}
)

func (outAppend) shardOutput()  {}
func (outRepeat) shardOutput()  {}
func (outLoad) shardOutput()    {}
func (outEffect) shardOutput()  {}
func (outTimer) shardOutput()   {}
func (outRetired) shardOutput() {}
func (outPlace) shardOutput()   {}
func (outReseal) shardOutput()  {}
func (outAwaits) shardOutput()  {}
func (outWake) shardOutput()    {}
func (outDropped) shardOutput() {}
