package sealing

import (
	"context"
	"strconv"
	"strings"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// MaskPrefix starts every mask; FingerprintLen hex digits follow: "***a1b2c3d4".
const (
	MaskPrefix     = "***"
	FingerprintLen = 8
)

// MaskOf returns the mask of the secret with fingerprint fp.
func MaskOf(fp string) string { return MaskPrefix + fp }

// ParseMask returns the fingerprint in s if s is exactly a mask.
func ParseMask(s string) (fp string, ok bool) {
	fp, ok = strings.CutPrefix(s, MaskPrefix)
	if !ok || len(fp) != FingerprintLen {
		return "", false
	}
	for i := range len(fp) {
		if c := fp[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", false
		}
	}
	return fp, true
}

// Mask renders v for people: each secret as its mask, each blob over inlineMax bytes as the link
// {"$blob": "<sha256>", "bytes": n, "href": "/blobs/<sha256>"}, smaller blobs as their content.
// The content behind the link has null in the place of secrets. No key is needed.
//
// Errors: those of blobs.Get; ErrCorrupt if a hole has no place.
func Mask(ctx context.Context, blobs Blobs, v domain.Value, inlineMax int64) ([]byte, error) {
	v = withoutLinked(v, inlineMax)
	return v.Fill(func(h domain.Hole) ([]byte, error) {
		switch {
		case h.Blob == "":
			return rawjson.Quote(MaskOf(h.FP)), nil
		case h.Bytes > inlineMax:
			return BlobLink(h), nil
		}
		return blobs.Get(ctx, h.Blob)
	})
}

// BlobLink is the JSON object that stands for a large blob.
func BlobLink(h domain.Hole) []byte {
	return []byte(`{"$blob":"` + h.Blob + `","bytes":` + strconv.FormatInt(h.Bytes, 10) + `,"href":"/blobs/` + h.Blob + `"}`)
}

// withoutLinked drops the holes inside blobs that are only linked: their content is not there.
func withoutLinked(v domain.Value, inlineMax int64) domain.Value {
	var linked []string
	for _, h := range v.Holes {
		if h.Blob != "" && h.Bytes > inlineMax {
			linked = append(linked, h.At)
		}
	}
	if linked == nil {
		return v
	}
	kept := make([]domain.Hole, 0, len(v.Holes))
	for _, h := range v.Holes {
		if h.Blob != "" || !below(h.At, linked) {
			kept = append(kept, h)
		}
	}
	return domain.Value{JSON: v.JSON, Holes: kept}
}

func below(at string, places []string) bool {
	for _, place := range places {
		if rest, ok := strings.CutPrefix(at, place); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// Mask is the function Mask over the session's blobs.
func (r *Run) Mask(ctx context.Context, v domain.Value, inlineMax int64) ([]byte, error) {
	return Mask(ctx, r.blobs, v, inlineMax)
}
