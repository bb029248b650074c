package sealing

import (
	"strings"

	"quipu/domain"
	"quipu/domain/rawjson"
)

// FlowsIntoSecret returns which inputs and which upstream tasks the references in params put
// below a secret key: {"openai_api_key": {"input": "k"}} gives input k. Seal those at their
// source: the input by Options.At, the task's output with At "" ("the whole").
//
// Shape: params is a task's parameter object, checked JSON; the whole list of tasks may be given
// as well. Names are returned as written, each once, in order of appearance. A mapping rule with a secret
// target ({"depends": "t", "mapping": {"HEADER_Authorization": "path"}}) gives task t.
func FlowsIntoSecret(params []byte) (inputs, depends []string) {
	k := keyed{raw: params}
	seen := make(map[[2]string]bool)
	add := func(kind, name string) {
		if seen[[2]string{kind, name}] {
			return
		}
		seen[[2]string{kind, name}] = true
		if kind == "input" {
			inputs = append(inputs, name)
		} else {
			depends = append(depends, name)
		}
	}
	looked := -1
	_ = rawjson.Walk(params, domain.JSONDepthMax, func(p *rawjson.Path, kind rawjson.Kind, start, _ int) bool {
		st := k.enter(p, kind, start)
		switch {
		case kind == rawjson.Object && st == inSecret:
			if kind, name, ok := reference(params, start); ok {
				add(kind, name)
			}
		case kind == rawjson.String && st == inSecret && p.Depth() >= 2:
			// A rule of a mapping: the mapping stands in the object that names the task.
			key, _ := p.Key()
			if k.frames[p.Depth()-1].key == "mapping" && mappingTarget(key) {
				if of := k.frames[p.Depth()-2].start; of != looked {
					looked = of // once per mapping: many rules stay linear
					if name, ok := dependsOf(params, of); ok {
						add("depends", name)
					}
				}
			}
		}
		return true
	})
	return inputs, depends
}

// dependsOf returns the "depends" member of the object at raw[start].
func dependsOf(raw []byte, start int) (string, bool) {
	b, ok := rawjson.Get(raw[start:], "/depends")
	if !ok || rawjson.KindOf(b) != rawjson.String {
		return "", false
	}
	return rawjson.Unquote(b), true
}

// SecretTemplate is a string with a template in the place of a secret.
type SecretTemplate struct{ Pointer, Text string }

// TemplatesInSecret returns the strings below secret keys of params that hold a template: what they
// read is a secret at its source.
func TemplatesInSecret(params []byte) []SecretTemplate {
	k := keyed{raw: params, references: true}
	var out []SecretTemplate
	_ = rawjson.Walk(params, domain.JSONDepthMax, func(p *rawjson.Path, kind rawjson.Kind, start, end int) bool {
		if st := k.enter(p, kind, start); st == inSecret && kind == rawjson.String {
			if text := rawjson.Unquote(params[start:end]); strings.Contains(text, "{{") {
				out = append(out, SecretTemplate{p.Pointer(), text})
			}
		}
		return true
	})
	return out
}
