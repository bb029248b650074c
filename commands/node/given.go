package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// Bounds of a schema that a definition brings along, and of the work of checking with it. They count
// what is to be done and no time, so that a document is checked everywhere or nowhere.
const (
	// GivenSchemaBytesMax is the longest.
	GivenSchemaBytesMax = 64 << 10
	// GivenSchemaSizeMax is the largest: its values with every $ref written out (what refers twice to what
	// refers twice grows without its text growing), and the steps of its patterns.
	GivenSchemaSizeMax = 10_000
	// GivenWorkMax bounds the size of a schema times the weight of the document checked with it: its values,
	// keys included, and one for each 64 bytes. The worst document takes about a microsecond and 400 bytes of
	// memory for each: it breaks every rule everywhere.
	GivenWorkMax = 256 << 10
	// PatternBytesMax is the longest pattern, and PatternSizeMax its most steps with its repetitions
	// written out: matching is steps times bytes.
	PatternBytesMax = 1_000
	PatternSizeMax  = 5_000

	bytesPerWeight  = 64
	numberBytesMax  = 100 // of a number in a schema
	comparedPerStep = 4   // values looked at to find two equal items
	formatRegexSize = 200 // what "format": "regex" counts: each text is compiled
)

// GivenSchema is a schema that came with a definition: checking with it is bounded, since pure tasks
// do it inside a decision. Safe for concurrent use.
type GivenSchema struct {
	schema  *Schema
	size    int
	uniques int // rules that items be unique
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
	c, err := measure(raw)
	if err != nil {
		return nil, err
	}
	schema, err := compile("urn:quipu:schema", raw)
	if err != nil {
		return nil, errors.New("is no valid JSON Schema (2020-12)")
	}
	return &GivenSchema{schema, c.size, c.uniques}, nil
}

// Check tells how the document breaks the schema, with pointers into the document. An error says that
// the two together are over GivenWorkMax; then nothing was checked.
func (g *GivenSchema) Check(document json.RawMessage) ([]Fault, error) {
	weight, pairs := weigh(document)
	if work := g.size*weight + g.uniques*pairs; work > GivenWorkMax {
		return nil, fmt.Errorf("a schema of size %d and a document of %d bytes are more than can be checked here (%d steps, at most %d); "+
			"simplify the schema or check less", g.size, len(document), work, GivenWorkMax)
	}
	return g.schema.Check(document), nil
}

// weigh gives the weight of a document, and what finding two equal items in its arrays may take: items
// that are no array and no object are found by their hash, of which the others may share one, so that each
// value in them counts once for each such item before it. The weight of what is no JSON, or too deep, is
// over every bound.
func weigh(document json.RawMessage) (weight, pairs int) {
	weight = 1 + len(document)/bytesPerWeight
	var before []int // by depth: items of the array there that are containers, so far
	compared := 0    // with how many items the value here is compared, at all depths
	err := rawjson.Walk(document, domain.JSONDepthMax, func(path *rawjson.Path, kind rawjson.Kind, _, _ int) bool {
		weight++
		depth := path.Depth()
		for ; len(before) > depth; before = before[:len(before)-1] {
			compared -= before[len(before)-1]
		}
		_, isMember := path.Key()
		if isMember {
			weight++
		}
		if kind == rawjson.Array || kind == rawjson.Object {
			if depth > 0 && !isMember {
				before[depth-1]++
				compared++
			}
			before = append(before, 0)
		}
		pairs = min(pairs+compared, GivenWorkMax*comparedPerStep)
		return weight <= GivenWorkMax
	})
	if err != nil {
		return GivenWorkMax + 1, 0
	}
	return weight, pairs / comparedPerStep
}
