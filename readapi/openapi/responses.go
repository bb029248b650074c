package openapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"quipu/apidoc"
	"quipu/domain"
	"quipu/readapi"
)

// Refusals that every operation may answer with, where they apply. The guard's are those of infra/guard.
var (
	unauthorized = []apidoc.Refusal{
		{Status: 401, Code: "KEY_MISSING", Message: "a key is needed: send header x-api-key or Authorization: Bearer; sockets of browsers send subprotocol x-api-key.<key>"},
		{Status: 401, Code: "KEY_UNKNOWN", Message: "the key is not one of this server's"},
	}
	forbidden = []apidoc.Refusal{
		{Status: 403, Code: "FORBIDDEN", Message: "pages of this origin may not call this server; list the origin in cors-origins if they shall"},
		{Status: 403, Code: "HOST_NOT_ALLOWED", Message: "the server is not called by this name; use its address, or list the name in hosts"},
	}
	tooLarge = apidoc.Refusal{Status: 413, Code: "REQUEST_ENTITY_TOO_LARGE", Message: "request entity too large"}
	internal = apidoc.Refusal{Status: 500, Code: "INTERNAL", Message: "internal error"}
)

func (b *builder) responses(op apidoc.Operation) (*object, error) {
	out := obj()
	for _, a := range op.Answers {
		key := strconv.Itoa(a.Status)
		if out.get(key) != nil {
			return nil, fmt.Errorf("has two answers of status %d", a.Status)
		}
		o, err := b.answer(a)
		if err != nil {
			return nil, fmt.Errorf("answer %d: %w", a.Status, err)
		}
		out.set(key, o)
	}
	refusals := slices.Clone(op.Refusals)
	if op.Key != apidoc.KeyNever {
		refusals = append(refusals, unauthorized...)
	}
	refusals = append(refusals, forbidden...)
	if op.Body != nil {
		refusals = append(refusals, tooLarge)
	}
	refusals = append(refusals, internal)
	slices.SortStableFunc(refusals, func(a, b apidoc.Refusal) int { return a.Status - b.Status })
	for _, r := range refusals {
		if err := b.refusal(out, r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (b *builder) answer(a apidoc.Answer) (*object, error) {
	doc := a.Doc
	if doc == "" {
		doc = http.StatusText(a.Status)
	}
	o := obj("description", doc)
	if len(a.Headers) > 0 {
		headers := o.child("headers")
		for _, h := range a.Headers {
			headers.set(h.Name, header(h, obj()))
		}
	}
	if a.Of == nil {
		return o, nil
	}
	media := a.MediaType
	if media == "" {
		media = "application/json"
	}
	schema := b.schemas.of(a.Of)
	content := obj("schema", schema)
	if _, text := a.Of.(apidoc.Text); text {
		if a.Example != "" {
			content.set("example", a.Example)
		}
	} else {
		examples, err := b.examples(schema, a.Example, nil)
		if err != nil {
			return nil, err
		}
		content.set("examples", examples)
	}
	o.set("content", obj(media, content))
	return o, nil
}

// refusal adds an example to the response of its status. The example is what the application answers
// to such an error, so it cannot look otherwise.
func (b *builder) refusal(responses *object, r apidoc.Refusal) error {
	if r.Status < 400 || r.Code == "" || r.Message == "" {
		return fmt.Errorf("refusal %d %q needs a status from 400 on, a Code and a Message", r.Status, r.Code)
	}
	key := strconv.Itoa(r.Status)
	response, ok := responses.get(key).(*object)
	if !ok {
		text := http.StatusText(r.Status)
		if r.Status == 499 {
			text = "The client gave up"
		}
		response = obj("description", text)
		if r.Status == http.StatusTooManyRequests || r.Status == http.StatusServiceUnavailable {
			response.child("headers").set("Retry-After", header(apidoc.Header{Doc: "Seconds after which trying again may help.", Example: "1"}, obj()))
		}
		if r.Status == http.StatusUnauthorized {
			response.child("headers").set("WWW-Authenticate", header(apidoc.Header{Doc: "How to prove who one is.", Example: "Bearer"}, obj()))
		}
		responses.set(key, response)
	}
	media := response.child("content").child("application/json")
	if media.get("schema") == nil {
		media.set("schema", b.problem())
	}
	e := domain.E(domain.KindInvalid, "", "", r.Message).WithCode(r.Code).WithField(r.Field).WithDetails(r.Details)
	_, p := readapi.NewProblem(e)
	raw, err := encode(p)
	if err != nil {
		return err
	}
	examples := media.child("examples")
	name := r.Code
	for n := 2; examples.get(name) != nil; n++ {
		name = fmt.Sprintf("%s_%d", r.Code, n)
	}
	examples.set(name, obj("value", json.RawMessage(raw)))
	return nil
}

// problem is the schema of every refusal. What detail may be no Go type says.
func (b *builder) problem() *object {
	ref := b.schemas.of(readapi.Problem{})
	properties := b.schemas.out["Problem"].child("properties")
	if properties.child("detail").get("oneOf") == nil {
		properties.set("status", obj("type", "string", "enum", []string{"error"}))
		properties.set("message", obj("type", "string", "description", "What is wrong, and what to do about it."))
		properties.set("detail", obj(
			"description", "One entry for each field at fault; the message if none is.",
			"oneOf", []any{obj("type", "string"), obj("type", "array", "items", b.schemas.of(readapi.FieldFault{}))},
		))
	}
	return ref
}
