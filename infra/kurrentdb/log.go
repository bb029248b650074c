package kurrentdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"google.golang.org/grpc/metadata"

	"quipu/commands"
	"quipu/domain"
)

// IDStream holds the log's id in its one event, of type idType. Nobody reads or appends to it through the port.
const (
	IDStream = "quipu-log"
	idType   = "log.created.v1"
)

// Log is commands.Log on a server that speaks KurrentDB's protocol. Any number of processes may use
// the same streams at once.
//
// Concurrency: safe.
type Log struct {
	id      domain.LogID
	known   atomic.Pointer[domain.LogID] // id, for new connections
	created uint64                       // commit position of the event with the id; nothing of ours stands before it
	prefix  string
	options Options
	leader  bool // calls ask for the leader

	writes, reads, follow *role
	shared                shared        // by the roles
	history               chan struct{} // places of subscriptions that read history
	heads                 heads
	feed                  *feed

	cancel  context.CancelFunc // ends what works in the background
	stop    chan struct{}      // closed by Close
	closing sync.Once
}

var _ commands.Log = (*Log)(nil)

// Open connects to a server and returns its log; a server without one gets one. It waits for a server that
// does not answer, at most OpenTimeout.
//
// Errors: ErrInvalid for a bad connection string or option; ErrUnavailable if no server answered, or none
// that could be used.
func Open(ctx context.Context, o Options) (*Log, error) {
	options, err := o.withDefaults()
	if err != nil {
		return nil, domain.Wrap(domain.KindInvalid, "connect to the log", "", err)
	}
	at, err := parseURL(options.URL)
	if err != nil {
		return nil, err
	}
	for _, note := range at.notes {
		options.Logger.Warn("connection string of the log", "hosts", at.hosts, "note", note)
	}
	armFuse()
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &Log{
		prefix: options.Prefix, options: options, cancel: cancel, stop: make(chan struct{}),
		history: make(chan struct{}, historyMax), leader: at.config.NodePreference == esdb.NodePreferenceLeader,
	}
	l.feed = newFeed(background, l)
	// What is decided on is read where it is written; only following may be left to other nodes.
	strict := at.config
	strict.NodePreference = esdb.NodePreferenceLeader
	l.writes = newRole("writes", strict, &l.options, &l.shared)
	l.reads = newRole("reads", strict, &l.options, &l.shared)
	l.follow = newRole("follow", at.config, &l.options, &l.shared)
	for _, r := range l.roles() {
		go r.connect(background, l.probe(r != l.follow || l.leader))
	}
	opening, done := context.WithTimeout(ctx, options.OpenTimeout)
	defer done()
	if err := l.identify(opening); err != nil {
		if !l.reads.connected() {
			err = l.reads.noConnection()
		}
		_ = l.Close() // it has nothing to say
		if over := overdue(ctx, "connect to the log", at.hosts); over != nil {
			return nil, over
		}
		kind := domain.KindUnavailable
		if errors.Is(err, domain.ErrCorrupt) {
			kind = domain.KindCorrupt
		}
		return nil, domain.Wrap(kind, "connect to the log", at.hosts, err).WithField("log")
	}
	return l, nil
}

func (l *Log) roles() []*role { return []*role{l.writes, l.reads, l.follow} }

// ID implements commands.Log.
func (l *Log) ID() domain.LogID { return l.id }

// probe asks a new client for one event, so that it is known to answer before calls depend on it.
func (l *Log) probe(leader bool) func(context.Context, *esdb.Client) error {
	return func(ctx context.Context, c *esdb.Client) (err error) {
		if leader {
			ctx = askLeader(ctx)
		}
		for range callAttemptsMax {
			// The time limit begins once a server has been found.
			var found []*esdb.RecordedEvent
			known := l.known.Load() // before reading: it may be written in between
			found, err = readStream(ctx, c, l.prefix+IDStream, esdb.ReadStreamOptions{Deadline: &l.options.CallTimeout}, 1, takeAll)
			if err == nil || classify(err).kind == domain.KindNotFound {
				return l.same(known, found)
			}
			if e := new(esdb.Error); !errors.As(err, &e) || e.Code() != esdb.ErrorCodeNotLeader {
				return err
			}
		}
		return err
	}
}

// same reports an error if a server holds another log than it did: positions and revisions of the one mean
// nothing in the other. Calls of all roles are held back then: gRPC goes back to a server that restarts
// without telling, and it is the subscription's end that is always noticed.
func (l *Log) same(id *domain.LogID, found []*esdb.RecordedEvent) error {
	if id == nil {
		return nil
	}
	now := "none"
	if len(found) > 0 {
		other, err := idOf(found[0])
		if err == nil && other == *id {
			l.shared.foreign.Store(nil)
			return nil
		}
		now = string(other)
	}
	e := domain.E(domain.KindCorrupt, "connect to", "the log's server",
		fmt.Sprintf("it no longer holds the log %s but %s; was it restored or exchanged? restart to work on what it holds now", *id, now))
	l.shared.foreign.Store(e)
	return e
}

// idOf reads the event with the log's id.
func idOf(e *esdb.RecordedEvent) (domain.LogID, error) {
	var body struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(e.Data, &body); err != nil || uuid.Validate(body.ID) != nil || e.EventType != idType {
		return "", domain.E(domain.KindCorrupt, "read", "the log's id", "event 0 of the stream "+e.StreamID+" is not that of Quipu; choose another --log-prefix")
	}
	return domain.LogID(body.ID), nil
}

func askLeader(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "requires-leader", "true")
}

// limited is the ctx of one call: with the time limit of all calls, and asking for the leader.
func (l *Log) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(askLeader(ctx), l.options.CallTimeout, errTooLong)
}

// identify reads the log's id, and writes one if there is none. Should two do so at once, one wins and the
// other reads it.
func (l *Log) identify(ctx context.Context) error {
	for failures := 1; ; failures++ {
		err := l.readID(ctx)
		if err == nil {
			return nil
		}
		if errors.Is(err, domain.ErrNotFound) {
			err = l.writeID(ctx)
		}
		if err != nil && !errors.Is(err, domain.ErrUnavailable) && !errors.Is(err, domain.ErrIndeterminate) {
			return err
		}
		if err != nil && !pause(ctx.Done(), l.options.backoff(failures)) {
			return err
		}
	}
}

func (l *Log) readID(ctx context.Context) error {
	ctx, cancel := l.limited(ctx)
	defer cancel()
	found, _, err := call(ctx, l.reads, func(ctx context.Context, c *esdb.Client) ([]*esdb.RecordedEvent, error) {
		return readStream(ctx, c, l.prefix+IDStream, esdb.ReadStreamOptions{}, 1, takeAll)
	})
	if err != nil {
		f := classify(err)
		return f.wrap(f.kind, "read", "the log's id", err)
	}
	if len(found) == 0 {
		return domain.E(domain.KindCorrupt, "read", "the log's id", "the stream "+l.prefix+IDStream+" has no event any more; choose another --log-prefix or restore it")
	}
	if l.id, err = idOf(found[0]); err != nil {
		return err
	}
	l.created = found[0].Position.Commit
	l.known.Store(&l.id)
	return nil
}

func (l *Log) writeID(ctx context.Context) error {
	ctx, cancel := l.limited(ctx)
	defer cancel()
	id := l.options.NewID()
	data, err := json.Marshal(map[string]string{"id": id})
	if err != nil {
		return err
	}
	event := esdb.EventData{EventID: uuid.New(), EventType: idType, ContentType: esdb.ContentTypeJson, Data: data}
	_, _, err = call(ctx, l.writes, func(ctx context.Context, c *esdb.Client) (*esdb.WriteResult, error) {
		return c.AppendToStream(ctx, l.prefix+IDStream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, event)
	})
	if err == nil {
		return nil
	}
	f := classify(err)
	if f.kind == domain.KindConflict {
		return nil // another process was first
	}
	return f.wrap(f.kind, "write", "the log's id", err)
}

// Close implements commands.Log.
func (l *Log) Close() error {
	l.closing.Do(func() {
		close(l.stop)
		l.feed.close()
		var all sync.WaitGroup
		for _, r := range l.roles() {
			all.Go(r.close)
		}
		all.Wait()
		l.cancel()
	})
	return nil
}

func (l *Log) closed() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// usable says why nothing can be done: the log is closed or ctx is over.
func (l *Log) usable(ctx context.Context, op, subject string) error {
	if l.closed() {
		return closedError(op, subject)
	}
	return overdue(ctx, op, subject)
}

// name is a stream's name on the server.
func (l *Log) name(stream domain.StreamID) string { return l.prefix + string(stream) }

// recorded is an event of ours as the port has it; !ok for those of others and for the log's id.
func (l *Log) recorded(e *esdb.RecordedEvent) (r domain.Recorded, ok bool) {
	name, ok := strings.CutPrefix(e.StreamID, l.prefix)
	if !ok || name == "" || name == IDStream {
		return r, false
	}
	return domain.Recorded{
		Stream: domain.StreamID(name), Revision: domain.Revision(e.EventNumber), Position: position(e.Position.Commit),
		ID: domain.EventID(e.EventID), Type: e.EventType, Metadata: e.UserMetadata, Data: e.Data,
	}, true
}

// position is what stands for a commit position of the server, commit the other way round.
func position(commit uint64) domain.Position { return domain.Position(commit + 1) }

func commit(p domain.Position) uint64 { return uint64(p) - 1 }

// readStream reads a stream on c until take, which is handed each event, wants no more. The reading is
// always closed: a forgotten one keeps its place on the connection.
func readStream(ctx context.Context, c *esdb.Client, name string, o esdb.ReadStreamOptions, count uint64, take func(*esdb.RecordedEvent) bool) ([]*esdb.RecordedEvent, error) {
	reading, err := c.ReadStream(ctx, name, o, count)
	if err != nil {
		return nil, err
	}
	return drain(reading, take)
}

func takeAll(*esdb.RecordedEvent) bool { return true }

func drain(reading *esdb.ReadStream, take func(*esdb.RecordedEvent) bool) (events []*esdb.RecordedEvent, err error) {
	defer reading.Close()
	for {
		event, err := reading.Recv()
		if errors.Is(err, io.EOF) && !isStatus(err) {
			return events, nil
		}
		if err != nil {
			return nil, err
		}
		e := event.OriginalEvent()
		if e == nil {
			continue // a link whose target is gone; never one of ours
		}
		if !take(e) {
			return events, nil
		}
		events = append(events, e)
	}
}

// isStatus tells an error of the server that mentions an end from the end itself.
func isStatus(err error) bool {
	var e *esdb.Error
	return errors.As(err, &e)
}
