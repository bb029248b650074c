package sealing

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// Options say where a payload comes from. The zero value is right for results of nodes.
type Options struct {
	// At are JSON pointers of values that are secrets whatever their key: every string there and
	// below is sealed; "" is the whole payload. Pointers to nothing are ignored.
	At []string
	// References leaves {"input": k}, {"depends": t} and paths of mappings under secret keys in
	// clear. Known secrets shorter than KnownBytesMin are not masked by equality, since they could
	// equal the name of a task. Set it for definitions.
	References bool
	// Templates says at which pointers templates are evaluated. A string there that holds one is left
	// in clear under a secret key: it is a program that names a secret, not one. Nil means nowhere.
	Templates func(pointer string) bool
	// Intake refuses what cannot be sealed in its place instead of sealing a larger part: an object
	// key that holds a known secret, more than SecretsMax secrets. It also seals URLs whose query holds
	// secrets, which in results may be links for whoever reads them. Set it for requests, which can
	// still be mended.
	Intake bool
	// KeepMasks turns a mask of a secret this stream holds back into that secret. With Intake an
	// unknown mask under a secret key is refused. Without KeepMasks masks are plain text.
	KeepMasks bool
	// MaskAt says where, other than below secret keys, KeepMasks may bring a secret back; elsewhere its
	// mask is refused, since the secret would be sent or shown as what it is not. Nil means anywhere.
	MaskAt func(pointer, fp string) bool
}

// SecretsMax is the most secrets sealed one by one in one payload; beyond it the payload is sealed
// as a whole, so that holes and ciphertexts cannot outgrow an append.
const SecretsMax = 256

// Part is one payload of a SealAll.
type Part struct {
	Raw []byte // JSON as received; kept, must not change
	Options
}

// Seal is SealAll for one payload.
func (r *Run) Seal(ctx context.Context, raw []byte, opts Options) (domain.Value, []Secret, error) {
	values, secrets, err := r.SealAll(ctx, Part{Raw: raw, Options: opts})
	if err != nil {
		return domain.Value{}, nil, err
	}
	return values[0], secrets, nil
}

// SealAll checks the payloads of one event, puts holes in the place of their secrets and, if more
// than domain.PayloadInlineBytesMax remain of one, moves it into a blob.
//
// All payloads that are stored together belong in one call: a secret that one of them reveals is
// sealed in the others too. Without secrets, and in a run without known secrets, the Value is
// parts[i].Raw itself after one scan.
//
// Shape: one Value per part, in order. The Secrets are those that are new in this run, to be
// stored in the same event; nil if none. Equal literals share one id; equal texts of
// different spelling ("a" and "\u0061") share the fingerprint only.
// Errors: ErrInvalid, its Field the pointer, if a payload is not acceptable JSON; ErrUnprocessable by
// Intake; the ports' errors. After an error the session is as before; data keys and blobs that
// were written stay.
func (r *Run) SealAll(ctx context.Context, parts ...Part) (values []domain.Value, secrets []Secret, err error) {
	mark, texts := r.Mark(), len(r.known.texts)
	plans, err := r.plan(parts)
	if err == nil {
		values, err = r.carryOut(ctx, parts, plans)
	}
	if err != nil {
		// Texts may have become known without a secret of their own.
		if len(r.secrets) > int(mark) || len(r.known.texts) > texts {
			r.rebuild(r.secrets[:mark])
		}
		return nil, nil, err
	}
	for _, s := range r.secrets[mark:] {
		secrets = append(secrets, s.Secret)
	}
	return values, secrets, nil
}

// spot is a part of a payload that becomes a hole.
type spot struct {
	start, end int
	at         string
	fp         string
	restored   int // index of the secret a mask stands for, -1 if none
}

// plan finds the spots of each part. Secrets that become known on the way may stand in parts
// already scanned, so then everything is scanned once more.
func (r *Run) plan(parts []Part) ([][]spot, error) {
	for again := false; ; again = true {
		plans := make([][]spot, len(parts))
		before := len(r.known.texts)
		for i := range parts {
			var err error
			if plans[i], err = r.scan(&parts[i]); err != nil {
				return nil, err
			}
		}
		if len(r.known.texts) == before || again {
			return plans, nil
		}
	}
}

// scanner collects the spots of one part.
type scanner struct {
	run       *Run
	part      *Part
	keyed     keyed
	spots     []spot
	skipUntil int // values before this offset are inside a spot
	err       error
	few       [4]frame // where keyed.frames begin
}

func (r *Run) scan(part *Part) ([]spot, error) {
	s := scanner{run: r, part: part}
	s.keyed.raw, s.keyed.frames = part.Raw, s.few[:0]
	s.keyed.references = part.References
	if len(part.At) > 0 {
		s.keyed.at = make(map[string]bool, len(part.At))
		for _, at := range part.At {
			s.keyed.at[at] = true
		}
	}
	err := rawjson.Walk(part.Raw, domain.JSONDepthMax, s.visit)
	var syntax *rawjson.SyntaxError
	switch {
	case s.err != nil:
		return nil, s.err
	case errors.As(err, &syntax):
		return nil, domain.Wrap(domain.KindInvalid, "seal payload of", r.stream, errors.New(r.Scrub(syntax.Error()))).WithField(r.Scrub(syntax.Pointer))
	case err != nil:
		return nil, domain.Wrap(domain.KindInvalid, "seal payload of", r.stream, err)
	}
	if len(s.spots) > SecretsMax {
		return s.whole()
	}
	return s.spots, nil
}

func (s *scanner) visit(p *rawjson.Path, kind rawjson.Kind, start, end int) bool {
	st := s.keyed.enter(p, kind, start)
	if start < s.skipUntil {
		return s.insideWhole(st, kind, start, end)
	}
	if key, ok := p.Key(); ok && len(key) >= KnownBytesMin && s.run.known.holds(key) {
		return s.parentWhole(p, st, kind, start, end)
	}
	if kind != rawjson.String || end-start == 2 {
		return true
	}
	mayBeURL := s.part.Intake && s.part.Raw[start+1] == 'h' && bytes.IndexByte(s.part.Raw[start:end], '?') >= 0
	if !st.sealed() && len(s.run.known.texts) == 0 && !s.part.KeepMasks && !mayBeURL {
		return true
	}
	text := rawjson.Unquote(s.part.Raw[start:end])
	if s.part.Templates != nil && st == inSecret && strings.Contains(text, "{{") && s.part.Templates(p.Pointer()) {
		st = inPlain
	}
	if fp, isMask := ParseMask(text); isMask {
		return s.mask(p, st, fp, start, end)
	}
	switch {
	case st.sealed(), mayBeURL && len(inQuery(text)) > 0:
		s.spots = append(s.spots, spot{start, end, p.Pointer(), s.run.remember(text), -1})
	case s.part.References && len(text) < KnownBytesMin:
	case s.run.known.secret(text):
		fp, ok := s.run.known.texts[text]
		if !ok {
			fp = s.run.fingerprint(text)
		}
		s.spots = append(s.spots, spot{start, end, p.Pointer(), fp, -1})
	}
	return true
}

// insideWhole only remembers secrets: their place is sealed already.
func (s *scanner) insideWhole(st state, kind rawjson.Kind, start, end int) bool {
	if st.sealed() && kind == rawjson.String && end-start > 2 {
		s.run.remember(rawjson.Unquote(s.part.Raw[start:end]))
	}
	return true
}

// mask handles a string that is a mask.
func (s *scanner) mask(p *rawjson.Path, st state, fp string, start, end int) bool {
	if !s.part.KeepMasks {
		return true
	}
	index, err := s.run.byFingerprint(fp)
	switch {
	case err == nil && index >= 0 && !st.sealed() && s.part.MaskAt != nil && !s.part.MaskAt(p.Pointer(), fp):
		s.err = domain.E(domain.KindUnprocessable, "seal payload of", s.run.stream,
			"is the mask of a secret that stood elsewhere; send the secret itself, or put it below a key that names a secret").
			WithField(p.Pointer()).WithCode("MASK_MOVED")
		return false
	case err == nil && index >= 0:
		s.spots = append(s.spots, spot{start, end, p.Pointer(), fp, index})
	case err == nil && (!s.part.Intake || !st.sealed()):
	case err == nil:
		err = domain.E(domain.KindUnprocessable, "seal payload of", s.run.stream,
			"is the mask of a secret that is not stored here; send the secret itself")
		fallthrough
	default:
		var e *domain.Error
		if errors.As(err, &e) {
			err = e.WithField(p.Pointer()).WithCode("UNKNOWN_MASK")
		}
		s.err = err
		return false
	}
	return true
}

// byFingerprint finds the secret that a mask stands for; -1 if there is none. If several
// spellings of one text have the fingerprint, the first counts.
func (r *Run) byFingerprint(fp string) (int, error) {
	found := -1
	for i := range r.secrets {
		switch {
		case r.secrets[i].FP != fp:
		case found < 0:
			found = i
		case !sameText(r.secrets[i].literal, r.secrets[found].literal):
			return -1, domain.E(domain.KindUnprocessable, "seal payload of", r.stream,
				"is a mask that fits several stored secrets; send the secret itself")
		}
	}
	return found, nil
}

func sameText(a, b string) bool {
	if a == b {
		return true
	}
	return a[0] == '"' && b[0] == '"' && rawjson.Unquote([]byte(a)) == rawjson.Unquote([]byte(b))
}

// parentWhole seals the object around the current member as a whole, since its key holds a secret
// and would otherwise stand in the JSON and in pointers.
func (s *scanner) parentWhole(p *rawjson.Path, st state, kind rawjson.Kind, start, end int) bool {
	pointer := p.Pointer()
	pointer = pointer[:strings.LastIndexByte(pointer, '/')]
	if s.part.Intake {
		s.err = domain.E(domain.KindUnprocessable, "seal payload of", s.run.stream,
			"a key of this object holds a secret of the run; rename the key").WithField(pointer).WithCode("SECRET_IN_KEY")
		return false
	}
	object := s.keyed.frames[p.Depth()-1].start
	for len(s.spots) > 0 && s.spots[len(s.spots)-1].start >= object {
		s.spots = s.spots[:len(s.spots)-1]
	}
	until := lookahead{raw: s.part.Raw, i: object}
	if !until.skip() { // only if the rest is malformed, which the walk is about to report
		return true
	}
	s.skipUntil = until.i
	s.spots = append(s.spots, spot{object, until.i, pointer, "", -1})
	return s.insideWhole(st, kind, start, end)
}

// whole is the plan that seals the payload as one secret.
func (s *scanner) whole() ([]spot, error) {
	if s.part.Intake {
		return nil, domain.E(domain.KindUnprocessable, "seal payload of", s.run.stream,
			"holds "+strconv.Itoa(len(s.spots))+" secrets, at most "+strconv.Itoa(SecretsMax)+" are allowed").WithCode("TOO_MANY_SECRETS")
	}
	trimmed := rawjson.Trim(s.part.Raw)
	start := bytes.IndexByte(s.part.Raw, trimmed[0])
	return []spot{{start, start + len(trimmed), "", "", -1}}, nil
}

// carryOut seals the planned spots and cuts them out.
func (r *Run) carryOut(ctx context.Context, parts []Part, plans [][]spot) ([]domain.Value, error) {
	values := make([]domain.Value, len(parts))
	budget := domain.PayloadInlineBytesMax
	for i, spots := range plans {
		v := domain.Raw(parts[i].Raw)
		if len(spots) > 0 {
			edits := make([]rawjson.Edit, len(spots))
			v.Holes = make([]domain.Hole, len(spots))
			for j, sp := range spots {
				s, err := r.sealSpot(ctx, parts[i].Raw[sp.start:sp.end], sp, &budget)
				if err != nil {
					return nil, err
				}
				edits[j] = rawjson.Edit{Start: sp.start, End: sp.end, New: null}
				v.Holes[j] = domain.Hole{At: sp.at, Sealed: s.ID, FP: s.FP}
			}
			v.JSON = rawjson.Splice(parts[i].Raw, edits)
		}
		if len(v.JSON) > domain.PayloadInlineBytesMax {
			sha, err := r.blobs.Put(ctx, v.JSON)
			if err != nil {
				return nil, err
			}
			blob := domain.Hole{Blob: sha, Bytes: int64(len(v.JSON))}
			v = domain.Value{JSON: null, Holes: append([]domain.Hole{blob}, v.Holes...)}
		}
		values[i] = v
	}
	return values, nil
}

var null = []byte("null")

// sealSpot returns the secret for one spot, sealing it if its literal is new in this run.
// Ciphertexts beyond the budget of the call go into blobs of their own.
func (r *Run) sealSpot(ctx context.Context, literal []byte, sp spot, budget *int) (Secret, error) {
	if sp.restored >= 0 {
		return r.secrets[sp.restored].Secret, nil
	}
	if i, ok := r.ids[string(literal)]; ok {
		return r.secrets[i].Secret, nil
	}
	s := Secret{ID: "s" + strconv.Itoa(len(r.secrets)+1), FP: sp.fp}
	if s.FP == "" {
		s.FP = r.vault.Fingerprint(literal)
	}
	ciphertext, err := r.vault.Seal(ctx, r.stream, s.ID, literal)
	if err != nil {
		return Secret{}, err
	}
	if n := base64.StdEncoding.EncodedLen(len(ciphertext)); n <= *budget {
		*budget -= n
		s.Ciphertext = base64.StdEncoding.EncodeToString(ciphertext)
	} else {
		if s.Blob, err = r.blobs.Put(ctx, ciphertext); err != nil {
			return Secret{}, err
		}
		s.Bytes = int64(len(ciphertext))
	}
	r.keep(sealed{s, string(literal)})
	return s, nil
}
