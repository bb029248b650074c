package sealing

import (
	"context"
	"encoding/base64"
	"strconv"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// Secret is one sealed text of a stream. It stands once in the log, in the event with the Value in
// which it first appeared; later Values refer to it by ID.
type Secret struct {
	ID string `json:"id"` // "s1", "s2", …: order of appearance in the stream
	FP string `json:"fp"` // fingerprint shown in masks
	// Ciphertext is base64 (standard alphabet, padded); "" if it is so large that it stands in a
	// blob of its own.
	Ciphertext string `json:"ciphertext,omitempty"`
	Blob       string `json:"blob,omitempty"`  // hex SHA-256 of the raw ciphertext's blob
	Bytes      int64  `json:"bytes,omitempty"` // size of that blob
}

// Run is the sealing session of one stream: a run, or a stored workflow.
//
// Lifetime: made by New when the stream is folded, fed with the secrets of its events by Learn. It
// keeps its secrets in memory in clear. Not safe for concurrent use.
type Run struct {
	stream  string
	vault   Vault
	blobs   Blobs
	secrets []sealed       // secret "s<i+1>" at i
	ids     map[string]int // literal -> index in secrets
	given   []string       // known without being sealed: see Know
	known   known
}

// sealed is a secret with its plaintext: the JSON as written, so that opening restores every byte.
// Usually a string literal; an object or array if it had to be sealed as a whole.
type sealed struct {
	Secret
	literal string
}

// New starts the session of stream. The ports are required.
func New(stream domain.StreamID, vault Vault, blobs Blobs) *Run {
	if vault == nil || blobs == nil {
		panic("sealing: New needs a vault and blobs")
	}
	return &Run{stream: string(stream), vault: vault, blobs: blobs, ids: make(map[string]int)}
}

// Learn takes in the secrets of the stream's recorded events; those already known are passed over,
// so that it may be called with every event folded. Ids come in any order and may leave gaps:
// results of parallel tasks are recorded in the order they end, and a dropped one takes its ids
// along.
//
// Errors: ErrConflict if a different secret has the same id here: this session has sealed something
// that was never appended, call Rollback or start anew; ErrCorrupt if an id is malformed or a
// ciphertext cannot be opened; ErrNotFound if the stream's data key was erased (masks still work,
// see Mask); the ports' errors. After an error the secrets before the failing one are known.
func (r *Run) Learn(ctx context.Context, secrets []Secret) error {
	for _, s := range secrets {
		n, ok := secretNumber(s.ID)
		switch {
		case !ok || n > len(r.secrets)+idGapMax:
			return domain.E(domain.KindCorrupt, "learn secret", r.stream, "id "+strconv.Quote(s.ID)+" is malformed or far beyond s"+strconv.Itoa(len(r.secrets)))
		case n <= len(r.secrets) && !r.secrets[n-1].missing():
			if r.secrets[n-1].Secret != s {
				return domain.E(domain.KindConflict, "learn secret", r.stream, s.ID+" differs from the one sealed here")
			}
			continue
		}
		literal, err := r.decrypt(ctx, s)
		if err != nil {
			return err
		}
		for len(r.secrets) < n {
			r.secrets = append(r.secrets, sealed{})
		}
		r.keepAt(n-1, sealed{s, string(literal)})
	}
	return nil
}

// Know makes texts known secrets of the session without sealing them: the keys of the process itself,
// which no event holds, but which the far side they are sent to may send back. A string that holds
// one is sealed as with any other.
func (r *Run) Know(texts ...string) {
	for _, t := range texts {
		if t != "" {
			r.given = append(r.given, t)
			r.remember(t)
		}
	}
}

// idGapMax bounds the ids that may be left out in a row.
const idGapMax = 100_000

func secretNumber(id string) (int, bool) {
	if len(id) < 2 || id[0] != 's' || id[1] < '1' || id[1] > '9' {
		return 0, false
	}
	n, err := strconv.Atoi(id[1:])
	return n, err == nil
}

func (r *Run) decrypt(ctx context.Context, s Secret) ([]byte, error) {
	var ciphertext []byte
	var err error
	if s.Blob != "" {
		ciphertext, err = r.blobs.Get(ctx, s.Blob)
	} else if ciphertext, err = base64.StdEncoding.DecodeString(s.Ciphertext); err != nil {
		err = domain.Wrap(domain.KindCorrupt, "learn secret", r.stream+"/"+s.ID, err)
	}
	if err != nil {
		return nil, err
	}
	literal, err := r.vault.Open(ctx, r.stream, s.ID, ciphertext)
	if err != nil {
		return nil, err
	}
	if rawjson.Check(literal, domain.JSONDepthMax) != nil {
		return nil, domain.E(domain.KindCorrupt, "learn secret", r.stream+"/"+s.ID, "its content is not JSON")
	}
	return literal, nil
}

// missing reports whether s is the place of an id that no recorded event has.
func (s *sealed) missing() bool { return s.literal == "" }

// keep adds s to the session.
func (r *Run) keep(s sealed) {
	r.secrets = append(r.secrets, s)
	if !s.missing() {
		r.keepAt(len(r.secrets)-1, s)
	}
}

func (r *Run) keepAt(i int, s sealed) {
	r.secrets[i] = s
	if _, dup := r.ids[s.literal]; !dup {
		r.ids[s.literal] = i
	}
	if s.literal[0] == '"' {
		r.known.add(rawjson.Unquote([]byte(s.literal)), s.FP, r.fingerprint)
		return
	}
	// Sealed as a whole: what its own keys call secret is known.
	k := &keyed{raw: []byte(s.literal)}
	_ = rawjson.Walk(k.raw, domain.JSONDepthMax, func(p *rawjson.Path, kind rawjson.Kind, start, end int) bool {
		if k.enter(p, kind, start).sealed() && kind == rawjson.String {
			r.remember(rawjson.Unquote(k.raw[start:end]))
		}
		return true
	})
}

// remember makes text a known secret and returns its fingerprint.
func (r *Run) remember(text string) string {
	if fp, ok := r.known.texts[text]; ok {
		return fp
	}
	fp := r.fingerprint(text)
	r.known.add(text, fp, r.fingerprint)
	return fp
}

func (r *Run) fingerprint(text string) string { return r.vault.Fingerprint([]byte(text)) }

// Mark is a point to which Rollback returns.
type Mark int

// Mark returns the current point. Take it before Seal.
func (r *Run) Mark() Mark { return Mark(len(r.secrets)) }

// Rollback forgets the secrets sealed or learned since mark. Call it when what Seal returned is
// not appended (refused, nothing to do, conflict): a later Value must not refer to a secret that
// stands in no event. After an unknown outcome keep them until it is known.
func (r *Run) Rollback(mark Mark) {
	if int(mark) < len(r.secrets) {
		r.rebuild(r.secrets[:mark])
	}
}

// rebuild starts the session anew with kept.
func (r *Run) rebuild(kept []sealed) {
	r.secrets = nil
	r.ids = make(map[string]int)
	r.known = known{}
	for _, t := range r.given {
		r.remember(t)
	}
	for _, s := range kept {
		r.keep(s)
	}
}

// Secrets returns all secrets of the session in order of their ids.
func (r *Run) Secrets() []Secret {
	out := make([]Secret, 0, len(r.secrets))
	for i := range r.secrets {
		if !r.secrets[i].missing() {
			out = append(out, r.secrets[i].Secret)
		}
	}
	return out
}
