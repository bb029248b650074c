package nodetypes

import (
	"strings"

	"quipu/domain/rawjson"
)

func (r *apiReader) readHeaders(pointer string) {
	for _, m := range r.members(pointer) {
		at := pointer + "/" + rawjson.EscapeKey(m.Key)
		value, ok := r.scalar(at)
		if problem := checkHeader(m.Key, value); problem != "" {
			r.fault(at, "%s", problem)
		} else if ok {
			r.out.headers = append(r.out.headers, pair{m.Key, value})
		}
	}
}

func (r *apiReader) readQuery(pointer string) {
	for _, m := range r.members(pointer) {
		r.addQuery(pointer+"/"+rawjson.EscapeKey(m.Key), m.Key)
	}
}

// addQuery adds a value at pointer; an array repeats the name, null adds nothing.
func (r *apiReader) addQuery(pointer, name string) {
	raw, ok := r.value(pointer)
	if !ok {
		return
	}
	items := []([]byte){raw}
	if rawjson.KindOf(raw) == rawjson.Array {
		items = rawjson.Items(raw)
	}
	for _, item := range items {
		switch rawjson.KindOf(item) {
		case rawjson.Object, rawjson.Array:
			r.fault(pointer, "must be a string, a number, a bool or an array of these")
			return
		}
		r.out.query = append(r.out.query, pair{name, plain(item)})
	}
}

// readFixed reads the fixed BODY_x, QUERY_x and HEADER_x of an object.
func (r *apiReader) readFixed(pointer string) {
	members := r.config
	if pointer != "/config" {
		raw, _ := r.get(pointer)
		members = rawjson.Members(raw)
	}
	for _, m := range members {
		if name, ok := strings.CutPrefix(m.Key, bodyPrefix); ok {
			r.setBody(name, m.Value)
		} else if name, ok := strings.CutPrefix(m.Key, queryPrefix); ok {
			r.addQuery(pointer+"/"+rawjson.EscapeKey(m.Key), name)
		} else if name, ok := strings.CutPrefix(m.Key, headerPrefix); ok {
			at := pointer + "/" + rawjson.EscapeKey(m.Key)
			value, known := r.scalar(at)
			if problem := checkHeader(name, value); problem != "" {
				r.fault(at, "%s", problem)
			} else if known {
				r.out.headers = append(r.out.headers, pair{name, value})
			}
		}
	}
}
