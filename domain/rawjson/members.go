package rawjson

import "bytes"

// Member is one member of an object: its decoded key and the span of its value.
type Member struct {
	Key   string
	Value []byte // shares memory with the object
}

// Members returns the members of the checked object b in order; nil if b is not an object.
func Members(b []byte) []Member {
	var out list[Member]
	keys := decoder{short: len(b) <= sharedBytesMax}
	for c := enter(b, Object); c.next(); {
		out.add(Member{Key: keys.decode(&c), Value: c.value})
	}
	return out.all()
}

// sharedBytesMax is up to how many bytes an object is copied once for all its keys, instead of each
// key by itself. It bounds what a key that is kept holds in memory.
const sharedBytesMax = 512

// decoder decodes the keys of one object.
type decoder struct {
	short bool
	text  string // the object, once a key needed it
}

func (d *decoder) decode(c *cursor) string {
	if !d.short || bytes.IndexByte(c.key, '\\') >= 0 {
		return Unquote(c.key)
	}
	if d.text == "" {
		d.text = string(c.b)
	}
	return d.text[c.keyAt+1 : c.keyAt+len(c.key)-1]
}

// Items returns the items of the checked array b in order; nil if b is not an array.
func Items(b []byte) [][]byte {
	var out list[[]byte]
	for c := enter(b, Array); c.next(); {
		out.add(c.value)
	}
	return out.all()
}

// list collects items in a slice made to measure as long as they are few, as most are: growing one
// for them would cost more than reading them.
type list[T any] struct {
	few  [8]T
	n    int // in few
	many []T
}

func (l *list[T]) add(item T) {
	if l.n < len(l.few) {
		l.few[l.n] = item
		l.n++
		return
	}
	if l.many == nil {
		l.many = append(make([]T, 0, 4*len(l.few)), l.few[:]...)
	}
	l.many = append(l.many, item)
}

func (l *list[T]) all() []T {
	if l.many == nil && l.n > 0 {
		return append(make([]T, 0, l.n), l.few[:l.n]...)
	}
	return l.many
}

// cursor goes over the members of a checked object, or the items of a checked array, without copying
// any of it. What is malformed ends it.
type cursor struct {
	b     []byte
	i     int
	kind  Kind
	key   []byte // the literal, with its quotes; objects only
	keyAt int
	value []byte
}

// enter begins before the first member or item. A value of another kind has none.
func enter(b []byte, kind Kind) cursor {
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != byte(kind) {
		return cursor{}
	}
	return cursor{b: b, i: i + 1, kind: kind}
}

// next goes to the next member or item; false if there is none.
func (c *cursor) next() bool {
	b, i := c.b, skipSpace(c.b, c.i)
	if i < len(b) && b[i] == ',' {
		i = skipSpace(b, i+1)
	}
	if c.kind == Object {
		end, ok := passString(b, i)
		if !ok {
			return false
		}
		c.key, c.keyAt = b[i:end], i
		if i = skipSpace(b, end); i >= len(b) || b[i] != ':' {
			return false
		}
		i = skipSpace(b, i+1)
	}
	end, ok := passValue(b, i)
	if !ok {
		return false
	}
	c.i, c.value = end, b[i:end:end]
	return true
}

// keyIs tells whether the member's decoded key is key.
func (c *cursor) keyIs(key string) bool {
	if bytes.IndexByte(c.key, '\\') >= 0 {
		return Unquote(c.key) == key
	}
	return string(c.key[1:len(c.key)-1]) == key
}

func passString(b []byte, i int) (int, bool) {
	if i >= len(b) || b[i] != '"' {
		return i, false
	}
	end, reason := skipString(b, i)
	return end, reason == ""
}

// passValue returns the index after the checked value at b[i], without validating it again; false if
// there is none.
func passValue(b []byte, i int) (end int, ok bool) {
	for depth := 0; i < len(b); {
		switch c := b[i]; c {
		case '"':
			if i, ok = passString(b, i); !ok {
				return i, false
			}
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return i, false
			}
			i++
		case ',', ':', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i, false
			}
			i++
			continue
		default:
			for i < len(b) && !endsWord[b[i]] {
				i++
			}
		}
		if depth == 0 {
			return i, true
		}
	}
	return i, false
}

// endsWord are the bytes that may stand behind a number, true, false or null.
var endsWord = [256]bool{',': true, ':': true, ']': true, '}': true, ' ': true, '\t': true, '\n': true, '\r': true}
