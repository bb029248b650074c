package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
)

// counter measures a schema before anything is compiled.
type counter struct {
	root    any
	size    int            // values with references written out, and steps of patterns
	uniques int            // rules that items be unique, with references written out
	known   map[string]sum // by reference
	err     error          // the first thing that is not supported; nothing is counted after it
}

// sum is what a place counts.
type sum struct {
	size, uniques int
	open          bool // being counted
}

// measure counts what checking with a schema takes. Errors say what has no bound.
func measure(raw json.RawMessage) (*counter, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	c := &counter{known: map[string]sum{}}
	if err := decoder.Decode(&c.root); err != nil {
		return nil, errors.New("is not acceptable JSON")
	}
	if o, isObject := c.root.(map[string]any); isObject {
		c.draft(o)
	}
	c.count(c.root)
	return c, c.err
}

// draft refuses drafts in which an "id" moves what references lead to.
func (c *counter) draft(root map[string]any) {
	switch named := root["$schema"].(type) {
	case nil:
	case string:
		for _, draft := range []string{"2020-12/schema", "2019-09/schema", "draft-07/schema", "draft-06/schema"} {
			if strings.HasSuffix(strings.TrimSuffix(named, "#"), draft) {
				return
			}
		}
		c.fail("$schema must be https://json-schema.org/draft/2020-12/schema, or be left out")
	}
}

func (c *counter) add(n int) {
	if c.size += n; c.size > GivenSchemaSizeMax {
		c.fail("has a size of more than " + strconv.Itoa(GivenSchemaSizeMax) + ", its values with its references written out and the steps of its patterns; describe less")
	}
}

func (c *counter) fail(text string) {
	if c.err == nil {
		c.err = errors.New(text)
	}
}

func (c *counter) count(v any) {
	if c.add(1); c.err != nil {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			c.member(key, value)
		}
	case []any:
		for _, item := range v {
			c.count(item)
		}
	case json.Number:
		if !quick(string(v)) {
			c.fail("has a number that is too long, too large or too small to compare with")
		}
	case string:
		c.add(len(v) / bytesPerWeight)
	}
}

// quick reports whether exact arithmetic on a number is quick.
func quick(number string) bool {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || len(number) > numberBytesMax {
		return false
	}
	mantissa, _, _ := strings.Cut(strings.ToLower(number), "e")
	return math.Abs(f) >= 1e-300 || !strings.ContainsAny(mantissa, "123456789")
}

// member counts a member of an object, which may be a rule or have the name of one.
func (c *counter) member(key string, value any) {
	text, isText := value.(string)
	switch key {
	case "$dynamicRef", "$recursiveRef", "$id", "$anchor", "$dynamicAnchor":
		if isText {
			c.fail(key + " is not supported; refer to a place in the schema, such as \"#/$defs/x\"")
		}
	case "$recursiveAnchor":
		if _, isBool := value.(bool); isBool {
			c.fail(key + " is not supported")
		}
	case "$schema":
		if isText && value != c.rootMember("$schema") {
			c.fail("$schema may stand at the top only")
		}
	case "pattern":
		if isText {
			c.pattern(text)
		}
	case "patternProperties":
		if patterns, ok := value.(map[string]any); ok {
			for pattern := range patterns {
				c.pattern(pattern)
			}
		}
	case "format":
		if text == "regex" {
			c.add(formatRegexSize)
		}
	case "uniqueItems":
		if value == true {
			c.uniques++
		}
	case "$ref":
		if isText {
			c.reference(text)
			return
		}
	}
	c.count(value)
}

func (c *counter) rootMember(key string) any {
	o, _ := c.root.(map[string]any)
	return o[key]
}

func (c *counter) pattern(text string) {
	size, err := patternSize(text)
	if err != nil {
		c.fail(err.Error())
		return
	}
	c.add(size)
}

// reference counts what it leads to, again for each time.
func (c *counter) reference(to string) {
	pointer, within := strings.CutPrefix(to, "#")
	known, isKnown := c.known[to]
	switch {
	case known.open || to == "#":
		c.fail("its references lead in a circle; write the levels out")
	case isKnown:
		c.uniques += known.uniques
		c.add(known.size)
	case !within || pointer[0] != '/':
		c.fail("$ref must lead to a place in the schema, such as \"#/$defs/x\"")
	default:
		v, found := place(c.root, pointer)
		if !found {
			c.fail("a $ref leads to nothing")
			return
		}
		before := *c
		c.known[to] = sum{open: true}
		c.count(v)
		c.known[to] = sum{size: c.size - before.size, uniques: c.uniques - before.uniques}
	}
}

var unescapeToken = strings.NewReplacer("~1", "/", "~0", "~")

// place follows a JSON pointer.
func place(v any, pointer string) (any, bool) {
	for _, token := range strings.Split(pointer[1:], "/") {
		token = unescapeToken.Replace(token)
		switch in := v.(type) {
		case map[string]any:
			next, found := in[token]
			if !found {
				return nil, false
			}
			v = next
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(in) || token != strconv.Itoa(i) {
				return nil, false
			}
			v = in[i]
		default:
			return nil, false
		}
	}
	return v, true
}
