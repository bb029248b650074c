package commands

import (
	"bytes"
	"context"
	"sync"

	"quipu/commands/definition"
	"quipu/commands/sealing"
	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/run"
)

// Secrets opens the sealing session of a run. known are the secrets its events list so far.
type Secrets struct {
	Vault sealing.Vault
	Blobs Blobs
	// Process are the keys of the process itself, such as that of the default model: no run brings
	// them along, yet a far side may quote them. Empty ones are passed over.
	Process []string
}

// Session begins, or with known continues, the sealing of one run.
// Errors: ErrCorrupt if a known secret cannot be opened; the vault's errors.
func (s Secrets) Session(ctx context.Context, stream domain.StreamID, known []run.Secret) (*Session, error) {
	session := &Session{run: sealing.New(stream, s.Vault, s.Blobs), recorded: map[string]bool{}}
	session.run.Know(s.Process...)
	if err := session.learn(ctx, known); err != nil {
		return nil, err
	}
	return session, nil
}

// Session is the sealing of one run, shared by its mailbox and its effects. Safe for concurrent use.
//
// Attempts of one run end in any order, and some results are dropped. So a secret counts as safe
// only once an event that lists it is stored (Recorded); until then every value that refers to it
// brings it along again, with the same id and ciphertext.
type Session struct {
	mu       sync.Mutex
	run      *sealing.Run
	recorded map[string]bool // secret ids that stand in a stored event
}

// learn adds the secrets that the run's events list by now.
// Errors: as Secrets.Session; ErrConflict if another process gave an id of this session to another
// secret.
func (s *Session) learn(ctx context.Context, known []run.Secret) error {
	if len(known) == 0 {
		return nil
	}
	list := make([]sealing.Secret, len(known))
	for i, k := range known {
		list[i] = sealing.Secret(k)
	}
	s.mu.Lock()
	err := s.run.Learn(ctx, list)
	s.mu.Unlock()
	if err == nil {
		s.Recorded(known)
	}
	return err
}

// SealStart takes the secrets out of a definition, raw, and an input that are stored together. inputAt
// are pointers into input that are secret whatever their keys say. With templates, strings of the
// definition that hold one are left in clear: what they lead to is sealed where it stands.
// Errors: ErrUnprocessable naming the place if a secret cannot be sealed where it stands;
// ErrUnavailable if the vault or the blobs cannot keep something.
func (s *Session) SealStart(ctx context.Context, raw, input []byte, inputAt []string, templates bool) (def, in domain.Value, secrets []run.Secret, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	evaluated := func(string) bool { return true }
	if !templates {
		evaluated = nil
	}
	values, fresh, err := s.run.SealAll(ctx,
		sealing.Part{Raw: raw, Options: sealing.Options{References: true, Templates: evaluated, Intake: true}},
		sealing.Part{Raw: input, Options: sealing.Options{At: inputAt, Intake: true}})
	if err != nil {
		return domain.Value{}, domain.Value{}, nil, err
	}
	for _, f := range fresh {
		secrets = append(secrets, run.Secret(f))
	}
	return values[0], values[1], secrets, nil
}

// SealGraph takes the secrets out of the graph of a stored workflow. A mask of a secret that the
// session holds stands for that secret below a secret key, and where maskAt says so.
// Errors: as SealStart; ErrUnprocessable with code UNKNOWN_MASK or MASK_MOVED for other masks.
func (s *Session) SealGraph(ctx context.Context, graph []byte, maskAt func(pointer, fp string) bool) (domain.Value, []domain.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, fresh, err := s.run.Seal(ctx, graph, sealing.Options{References: true, Templates: definition.EvaluatedAt, Intake: true, KeepMasks: true, MaskAt: maskAt})
	if err != nil {
		return domain.Value{}, nil, err
	}
	var secrets []domain.Secret
	for _, f := range fresh {
		secrets = append(secrets, domain.Secret(f))
	}
	return v, secrets, nil
}

// Seal checks raw and takes the secrets out of it. The strings at the pointers in at
// are secret whatever their keys say; "" means the whole of raw. The secrets returned must be
// recorded with the event that carries the value.
// Errors: as SealStart; ErrInvalid if raw is not acceptable JSON.
func (s *Session) Seal(ctx context.Context, raw []byte, at ...string) (domain.Value, []run.Secret, error) {
	if len(raw) <= domain.PayloadInlineBytesMax && bytes.IndexByte(raw, '"') < 0 {
		// Without a string there is no secret.
		if err := rawjson.Check(raw, domain.JSONDepthMax); err != nil {
			return domain.Value{}, nil, domain.Wrap(domain.KindInvalid, "seal payload", "", err)
		}
		return domain.Raw(raw), nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, _, err := s.run.Seal(ctx, raw, sealing.Options{At: at})
	if err != nil || len(v.Holes) == 0 {
		return v, nil, err
	}
	return v, s.unrecorded(v), nil
}

func (s *Session) unrecorded(v domain.Value) []run.Secret {
	needed := map[string]bool{}
	for _, h := range v.Holes {
		if h.Sealed != "" && !s.recorded[h.Sealed] {
			needed[h.Sealed] = true
		}
	}
	if len(needed) == 0 {
		return nil
	}
	var out []run.Secret
	for _, k := range s.run.Secrets() {
		if needed[k.ID] {
			out = append(out, run.Secret(k))
		}
	}
	return out
}

// Recorded says that an event which lists secrets is stored.
func (s *Session) Recorded(secrets []run.Secret) {
	if len(secrets) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range secrets {
		s.recorded[k.ID] = true
	}
}

// Open gives the JSON with every secret and blob in place. Never log it.
func (s *Session) Open(ctx context.Context, v domain.Value) ([]byte, error) {
	if len(v.Holes) == 0 {
		return v.JSON, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run.Open(ctx, v)
}

// Settled returns how much of the beginning of a text that goes on can be shown, scrubbed: see
// sealing.Run.Settled.
func (s *Session) Settled(text string, start bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run.Settled(text, start)
}

// Scrub masks known secrets in plain text.
func (s *Session) Scrub(text string) string {
	if text == "" {
		return text
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run.Scrub(text)
}
