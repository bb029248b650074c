package sealing

import "encoding/base64"

// KnownBytesMin is the shortest known secret that is looked for inside longer strings. Shorter
// ones are recognised only when a string equals them: they would turn up everywhere by chance.
const KnownBytesMin = 8

// pattern is one spelling of a needle.
type pattern struct {
	text   string
	needle int
	base64 bool
}

// matcher finds many patterns in one pass: a filter over the first 8 bytes, then a map.
// The zero matcher finds nothing.
type matcher struct {
	filter *[256]uint64
	heads  map[uint64][]pattern
}

const filterBits = 14

func filterSlot(head uint64) (int, uint64) {
	h := head * 0x9E3779B97F4A7C15 >> (64 - filterBits) // Fibonacci hashing
	return int(h >> 6), 1 << (h & 63)
}

// add makes the matcher find text (of at least KnownBytesMin bytes) and its base64 spellings.
func (m *matcher) add(text string, needle int) {
	if m.filter == nil {
		m.filter = new([256]uint64)
		m.heads = make(map[uint64][]pattern)
	}
	m.addPattern(pattern{text: text, needle: needle})
	for _, enc := range base64Spellings(text) {
		m.addPattern(pattern{text: enc, needle: needle, base64: true})
	}
}

func (m *matcher) addPattern(p pattern) {
	var head uint64
	for i := range 8 {
		head = head<<8 | uint64(p.text[i])
	}
	slot, bit := filterSlot(head)
	m.filter[slot] |= bit
	m.heads[head] = append(m.heads[head], p)
}

// base64Spellings returns the parts of any base64 text that text determines when it stands at
// offset 0, 1 or 2 of a group of three bytes: enough to find it alone or inside other content,
// with or without padding, in the standard and the URL alphabet.
func base64Spellings(text string) []string {
	var out []string
	for offset, drop := range []int{0, 2, 3} { // characters touched by the bytes before text
		in := append(make([]byte, offset, offset+len(text)), text...)
		whole := len(in) * 8 / 6 // characters that no byte after text touches
		std := base64.RawStdEncoding.EncodeToString(in)[drop:whole]
		out = append(out, std)
		if url := base64.RawURLEncoding.EncodeToString(in)[drop:whole]; url != std {
			out = append(out, url)
		}
	}
	return out
}

// find returns the leftmost place at or after from where a pattern stands; the longest there.
func (m *matcher) find(s string, from int) (p pattern, start int, ok bool) {
	if m.filter == nil {
		return pattern{}, 0, false
	}
	var head uint64
	for i := from; i < len(s); i++ {
		head = head<<8 | uint64(s[i])
		if i-from < 7 {
			continue
		}
		slot, bit := filterSlot(head)
		if m.filter[slot]&bit == 0 {
			continue
		}
		start = i - 7
		for _, c := range m.heads[head] {
			if len(c.text) > len(p.text) && len(s)-start >= len(c.text) && s[start:start+len(c.text)] == c.text {
				p, ok = c, true
			}
		}
		if ok {
			return p, start, true
		}
	}
	return pattern{}, 0, false
}
