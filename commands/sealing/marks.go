package sealing

import (
	"bytes"
	"context"
	"strings"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// A marked mask is one that an expression sees in the place of a secret: a mask between two characters
// that Unicode keeps out of interchange. Data that an expression sees never holds them (Unmarkable), so
// a marked mask that comes out of it came from a secret's place, and not from a client who has read
// masks in frames and writes one, or joins one from pieces.
const (
	markBegin = "\ufdd0"
	markEnd   = "\ufdd1"
)

func marked(fp string) string { return markBegin + MaskOf(fp) + markEnd }

// ParseMarked returns the fingerprint in s if s is exactly a marked mask.
func ParseMarked(s string) (fp string, ok bool) {
	s, begins := strings.CutPrefix(s, markBegin)
	s, ends := strings.CutSuffix(s, markEnd)
	if !begins || !ends {
		return "", false
	}
	return ParseMask(s)
}

// HasMarks reports whether s holds a mark.
func HasMarks(s string) bool { return strings.Contains(s, markBegin) || strings.Contains(s, markEnd) }

// Unmarked removes the marks of s, a text or JSON.
func Unmarked(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, markBegin, ""), markEnd, "")
}

// Unmarkable returns raw, a text or JSON, with U+FFFD in the place of what is a mark or becomes one when
// it is read as JSON. Without any it is raw itself.
func Unmarkable(raw []byte) []byte {
	var out []byte
	done := 0
	for i := 0; i < len(raw); {
		n := markAt(raw[i:])
		if n == 0 {
			i++
			continue
		}
		out = append(out, raw[done:i]...)
		if n == len(markBegin) {
			out = append(out, "\ufffd"...)
		} else {
			out = append(out, `\ufffd`...)
		}
		i += n
		done = i
	}
	if done == 0 {
		return raw
	}
	return append(out, raw[done:]...)
}

// markAt returns how long the mark is that b begins with, as it is or as an escape; 0 if it does not.
func markAt(b []byte) int {
	switch {
	case b[0] == markBegin[0] && (bytes.HasPrefix(b, []byte(markBegin)) || bytes.HasPrefix(b, []byte(markEnd))):
		return len(markBegin)
	case b[0] == '\\' && len(b) >= 6 && (b[5] == '0' || b[5] == '1') && b[1] == 'u' && bytes.EqualFold(b[2:5], []byte("fdd")):
		return 6
	}
	return 0
}

// MaskMarked is Mask with marked masks and every blob's content, for expressions. A value that holds
// marks of its own has them replaced, and its masks are plain.
func MaskMarked(ctx context.Context, blobs Blobs, v domain.Value) ([]byte, error) {
	secrets := 0
	shown, err := v.Fill(func(h domain.Hole) ([]byte, error) {
		if h.Blob != "" {
			return blobs.Get(ctx, h.Blob)
		}
		secrets++
		return rawjson.Quote(marked(h.FP)), nil
	})
	if err != nil || countMarks(shown) == 2*secrets {
		return shown, err
	}
	if shown, err = Mask(ctx, blobs, v, int64(^uint64(0)>>1)); err != nil {
		return nil, err
	}
	return Unmarkable(shown), nil
}

func countMarks(raw []byte) int {
	n := 0
	for i := 0; i < len(raw); {
		if size := markAt(raw[i:]); size > 0 {
			n++
			i += size
		} else {
			i++
		}
	}
	return n
}

// SettleMasks removes the marks from the strings of rendered parameters, so that FillMasks finds in
// them, below secret keys, only masks that stood for secrets: one that was mere text gets a question
// mark, ***?a1b2c3d4. Strings that are one mask are left: FillMasks passes them over.
func SettleMasks(params []byte) []byte {
	if !bytes.Contains(params, []byte(MaskPrefix)) && countMarks(params) == 0 {
		return params
	}
	var edits []rawjson.Edit
	k := keyed{raw: params}
	_ = rawjson.Walk(params, domain.JSONDepthMax, func(p *rawjson.Path, kind rawjson.Kind, start, end int) bool {
		st := k.enter(p, kind, start)
		if kind != rawjson.String {
			return true
		}
		text := rawjson.Unquote(params[start:end])
		if _, whole := ParseMask(text); whole {
			return true
		}
		if settled := settle(text, st != inPlain); settled != text {
			edits = append(edits, rawjson.Edit{Start: start, End: end, New: rawjson.Quote(settled)})
		}
		return true
	})
	return rawjson.Splice(params, edits)
}

// settle removes the marks of a text; secret says that masks without marks are to be spoilt.
func settle(text string, secret bool) string {
	if !secret || !strings.Contains(text, MaskPrefix) {
		return Unmarked(text)
	}
	const size = len(MaskPrefix) + FingerprintLen
	var b strings.Builder
	plain := func(s string) {
		// Without marks first, since what they part could be a mask.
		s = Unmarked(s)
		for i := 0; i < len(s); i++ {
			b.WriteByte(s[i])
			if i+1 >= len(MaskPrefix) && i+1+FingerprintLen <= len(s) {
				if _, ok := ParseMask(s[i+1-len(MaskPrefix) : i+1+FingerprintLen]); ok {
					b.WriteByte('?')
				}
			}
		}
	}
	for {
		i, done := strings.Index(text, markBegin), 0
		for i >= 0 {
			end := i + len(markBegin) + size + len(markEnd)
			if end <= len(text) {
				if fp, ok := ParseMarked(text[i:end]); ok {
					plain(text[:i])
					b.WriteString(MaskOf(fp))
					text = text[end:]
					break
				}
			}
			done = i + len(markBegin)
			if i = strings.Index(text[done:], markBegin); i >= 0 {
				i += done
			}
		}
		if i < 0 {
			plain(text)
			return b.String()
		}
	}
}
