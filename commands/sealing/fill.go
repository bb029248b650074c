package sealing

import (
	"strings"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// FillMasks returns params with each mask that is a part of a longer string below a secret key
// replaced by what secret gives for its fingerprint: "Bearer ***a1b2c3d4", as a template left it,
// becomes the header to send. Elsewhere, and where secret knows nothing, masks are text. at says which
// pointers lead to text that SettleMasks has gone over: clients see masks, and can write them.
//
// The result is for the hands of nodes, never for logs, frames or expressions.
func FillMasks(params []byte, at func(pointer string) bool, secret func(fp string) (string, bool)) []byte {
	var edits []rawjson.Edit
	k := keyed{raw: params}
	_ = rawjson.Walk(params, domain.JSONDepthMax, func(p *rawjson.Path, kind rawjson.Kind, start, end int) bool {
		if st := k.enter(p, kind, start); st != inSecret || kind != rawjson.String {
			return true
		}
		text := rawjson.Unquote(params[start:end])
		if _, whole := ParseMask(text); whole || !strings.Contains(text, MaskPrefix) || !at(p.Pointer()) {
			return true
		}
		if filled := fillText(text, secret); filled != text {
			edits = append(edits, rawjson.Edit{Start: start, End: end, New: rawjson.Quote(filled)})
		}
		return true
	})
	return rawjson.Splice(params, edits)
}

func fillText(text string, secret func(fp string) (string, bool)) string {
	const size = len(MaskPrefix) + FingerprintLen
	var b strings.Builder
	for {
		i := strings.Index(text, MaskPrefix)
		if i < 0 || i+size > len(text) {
			b.WriteString(text)
			return b.String()
		}
		b.WriteString(text[:i])
		if fp, ok := ParseMask(text[i : i+size]); ok {
			if real, known := secret(fp); known {
				b.WriteString(real)
				text = text[i+size:]
				continue
			}
		}
		b.WriteByte(text[i])
		text = text[i+1:]
	}
}
