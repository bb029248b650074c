package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"quipu/domain/rawjson"
)

// Bounds of a schema that a definition brings along.
const (
	// GivenSchemaBytesMax is the longest.
	GivenSchemaBytesMax = 64 << 10
	// GivenSchemaSizeMax is the most values in it with every $ref written out: what refers twice to
	// what refers twice grows without its text growing.
	GivenSchemaSizeMax = 10_000
	// GivenWorkMax bounds the size of a schema times the bytes of the document checked with it.
	GivenWorkMax = 4 << 20
	// patternSize is what a pattern counts among the values: matching one costs more than comparing.
	patternSize = 50
)

// GivenSchema is a schema that came with a definition: checking with it is bounded, since pure tasks
// do it inside a decision. Safe for concurrent use.
type GivenSchema struct {
	schema *Schema
	size   int
}

// NewGivenSchema prepares a schema that users wrote. References lead within it ("#/$defs/x") and not
// in a circle. Errors say what is wrong for people and quote no values.
func NewGivenSchema(raw json.RawMessage) (*GivenSchema, error) {
	switch kind := rawjson.KindOf(raw); {
	case kind != rawjson.Object && kind != rawjson.Bool:
		return nil, errors.New("must be a JSON Schema, an object")
	case len(raw) > GivenSchemaBytesMax:
		return nil, errors.New("is longer than " + strconv.Itoa(GivenSchemaBytesMax) + " bytes; describe less")
	}
	size, err := sizeOf(raw)
	if err != nil {
		return nil, err
	}
	schema, err := compile("urn:quipu:schema", raw)
	if err != nil {
		return nil, errors.New("is no valid JSON Schema (2020-12)")
	}
	return &GivenSchema{schema, size}, nil
}

// Check tells how the document breaks the schema, with pointers into the document. An error says that
// the two together are over GivenWorkMax.
func (g *GivenSchema) Check(document json.RawMessage) ([]Fault, error) {
	if g.size*len(document) > GivenWorkMax {
		return nil, errors.New("the schema has " + strconv.Itoa(g.size) + " values and the document " + strconv.Itoa(len(document)) +
			" bytes, more than can be checked here; simplify the schema or check less")
	}
	return g.schema.Check(document), nil
}

// sizeOf counts the values of a schema with its references written out.
func sizeOf(raw json.RawMessage) (int, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var doc any
	if err := decoder.Decode(&doc); err != nil {
		return 0, errors.New("is not acceptable JSON")
	}
	c := counter{root: raw, known: map[string]int{}}
	n := c.count(doc)
	return n, c.err
}

type counter struct {
	root  json.RawMessage
	known map[string]int // sizes by reference; -1 while it is being counted
	err   error
}

func (c *counter) count(v any) int {
	n := 1
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			n += c.member(key, value)
			n = min(n, GivenSchemaSizeMax+1)
		}
	case []any:
		for _, item := range v {
			n = min(n+c.count(item), GivenSchemaSizeMax+1)
		}
	}
	if n > GivenSchemaSizeMax && c.err == nil {
		c.err = errors.New("has more than " + strconv.Itoa(GivenSchemaSizeMax) + " values with its references written out; describe less")
	}
	if c.err != nil {
		return 1
	}
	return n
}

func (c *counter) member(key string, value any) int {
	switch key {
	case "$dynamicRef", "$recursiveRef", "$id", "$anchor", "$dynamicAnchor":
		if _, isText := value.(string); isText {
			c.fail(key + " is not supported; refer to a place in the schema, such as \"#/$defs/x\"")
		}
	case "pattern":
		return c.count(value) + patternSize
	case "patternProperties":
		if patterns, ok := value.(map[string]any); ok {
			return c.count(value) + patternSize*len(patterns)
		}
	case "$ref":
		if to, isText := value.(string); isText {
			return c.reference(to)
		}
	}
	return c.count(value)
}

func (c *counter) fail(text string) {
	if c.err == nil {
		c.err = errors.New(text)
	}
}

func (c *counter) reference(to string) int {
	pointer, within := strings.CutPrefix(to, "#")
	switch n, known := c.known[to]; {
	case known && n < 0 || pointer == "":
		c.fail("its references lead in a circle; write the levels out")
		return 1
	case known:
		return n
	case !within || pointer[0] != '/':
		c.fail("$ref must lead to a place in the schema, such as \"#/$defs/x\"")
		return 1
	}
	raw, found := rawjson.Get(c.root, pointer)
	var doc any
	if !found || json.Unmarshal(raw, &doc) != nil {
		c.fail("a $ref leads to nothing")
		return 1
	}
	c.known[to] = -1
	n := c.count(doc)
	c.known[to] = n
	return n
}
