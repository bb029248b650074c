package nats

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"quipu/domain"
)

// Bounds and defaults of StreamOptions.
const (
	TopicBytesMax     = 128
	ReplicasMax       = 5
	DuplicatesDefault = 5 * time.Minute
	// callTimeout bounds each question to the server about streams and consumers.
	callTimeout = 5 * time.Second
)

// StreamOptions say how streams are made that are not there yet. Streams that are there stay as their
// operator set them. The zero value means the defaults.
type StreamOptions struct {
	// AgeMax, BytesMax and MessagesMax bound what a stream keeps; the oldest messages go first. Default 0:
	// no such bound.
	AgeMax                time.Duration
	BytesMax, MessagesMax int64
	// Replicas is on how many servers each message is. Default 1, at most 5.
	Replicas int
	// Duplicates is for how long a second message with the same id is dropped. Default 5 minutes, and not
	// longer than AgeMax.
	Duplicates time.Duration
}

func (o StreamOptions) withDefaults() StreamOptions {
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	if o.Duplicates == 0 {
		o.Duplicates = DuplicatesDefault
	}
	if o.AgeMax > 0 {
		o.Duplicates = min(o.Duplicates, o.AgeMax)
	}
	return o
}

// Validate reports every option out of bounds.
func (o StreamOptions) Validate() error {
	o = o.withDefaults()
	var errs []error
	if o.AgeMax < 0 || o.BytesMax < 0 || o.MessagesMax < 0 || o.Duplicates < 0 {
		errs = append(errs, errors.New("the bounds AgeMax, BytesMax, MessagesMax and Duplicates must not be negative"))
	}
	if o.Replicas < 1 || o.Replicas > ReplicasMax {
		errs = append(errs, fmt.Errorf("the number of replicas is %d, 1..%d are allowed", o.Replicas, ReplicasMax))
	}
	return errors.Join(errs...)
}

// CheckTopic reports why topic cannot name a stream: NATS has no dots, wildcards or blanks in such
// names. Errors: ErrInvalid.
func CheckTopic(topic string) error {
	ok := topic != "" && len(topic) <= TopicBytesMax
	for _, c := range []byte(topic) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_')
	}
	if !ok {
		return domain.E(domain.KindInvalid, "topic", "", fmt.Sprintf("%.40q: 1..%d letters, digits, - and _ are allowed", topic, TopicBytesMax))
	}
	return nil
}

// streams makes streams that are missing, each asked about once until it is found gone.
type streams struct {
	js jetstream.JetStream
	o  StreamOptions

	mu    sync.Mutex
	known map[string]*ensured
}

// ensured is one question about a stream, which all who ask meanwhile share.
type ensured struct {
	done chan struct{}
	err  error
}

// ensure returns once the stream of topic is there: it is named as the topic and takes its subject and all
// below it.
func (s *streams) ensure(ctx context.Context, topic string) error {
	s.mu.Lock()
	e, asked := s.known[topic]
	if !asked {
		e = &ensured{done: make(chan struct{})}
		s.known[topic] = e
	}
	s.mu.Unlock()
	if asked {
		<-e.done // bounded by callTimeout
		return e.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if e.err = s.find(ctx, topic); e.err != nil {
		s.forget(topic)
	}
	close(e.done)
	return e.err
}

// forget makes the next ensure ask again.
func (s *streams) forget(topic string) {
	s.mu.Lock()
	delete(s.known, topic)
	s.mu.Unlock()
}

func (s *streams) find(ctx context.Context, topic string) error {
	if err := CheckTopic(topic); err != nil {
		return err
	}
	subjects := []string{topic, topic + ".>"}
	stream, err := s.js.Stream(ctx, topic)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = s.js.CreateStream(ctx, jetstream.StreamConfig{
			Name: topic, Subjects: subjects, Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
			MaxAge: s.o.AgeMax, MaxBytes: noneIfZero(s.o.BytesMax), MaxMsgs: noneIfZero(s.o.MessagesMax),
			Replicas: s.o.Replicas, Duplicates: s.o.Duplicates,
		})
		if err == nil {
			return nil
		}
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // somebody else was first
			stream, err = s.js.Stream(ctx, topic)
		}
	}
	if err != nil {
		return translate("make stream", topic, err)
	}
	if has := stream.CachedInfo().Config.Subjects; !slices.Contains(has, subjects[1]) {
		return domain.E(domain.KindRefused, "use stream", topic, fmt.Sprintf("it is there and takes the subjects %q; add %q to them, or choose another prefix of topics", has, subjects[1]))
	}
	return nil
}

func noneIfZero(n int64) int64 {
	if n == 0 {
		return -1
	}
	return n
}
