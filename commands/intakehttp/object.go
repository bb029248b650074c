package intakehttp

import (
	"strconv"

	"quipu/commands/definition"
	"quipu/domain/rawjson"
)

// object is the members of a small body.
type object []rawjson.Member

// optionalObject reads a body that may be missing. Members that nobody asks for are passed over.
// Errors: ErrInvalid if it is no JSON.
func optionalObject(body []byte, f *definition.Faults) (object, error) {
	if len(rawjson.Trim(body)) == 0 {
		return nil, nil
	}
	if err := CheckJSON(body); err != nil {
		return nil, err
	}
	switch rawjson.KindOf(body) {
	case rawjson.Object:
		return rawjson.Members(body), nil
	case rawjson.Null:
		return nil, nil
	}
	f.Add("", "must be an object")
	return nil, nil
}

func (o object) get(key string) []byte {
	for i := range o {
		if o[i].Key == key {
			return o[i].Value
		}
	}
	return nil
}

// text is a string member, "" if it is missing or null.
func (o object) text(key string, f *definition.Faults) string {
	raw := o.get(key)
	if raw == nil {
		return ""
	}
	if s := memberText(raw, "/"+key, f); s != nil {
		return *s
	}
	return ""
}

// texts is a member that is a string or a list of strings; nil if it is missing or null.
func (o object) texts(key string, f *definition.Faults) []string {
	raw := o.get(key)
	switch {
	case raw == nil || rawjson.KindOf(raw) == rawjson.Null:
		return nil
	case rawjson.KindOf(raw) == rawjson.String:
		return []string{o.text(key, f)}
	case rawjson.KindOf(raw) != rawjson.Array:
		f.Add("/"+key, "must be a list of strings")
		return nil
	}
	var out []string
	for i, item := range rawjson.Items(raw) {
		at := "/" + key + "/" + strconv.Itoa(i)
		if rawjson.KindOf(item) != rawjson.String {
			f.Add(at, "must be a string")
			continue
		}
		if s := memberText(item, at, f); s != nil {
			out = append(out, *s)
		}
	}
	return out
}
