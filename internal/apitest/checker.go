// Package apitest holds answers of the real program against its own OpenAPI document.
//
// Anything that speaks HTTP with the program in a test may hand what it got to a Checker: proctest's
// client does so with every answer that a test must have, and the package explore calls every operation.
package apitest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// Checker validates answers. Safe for concurrent use.
type Checker struct {
	Document *openapi3.T
	router   routers.Router
}

// What is no JSON is a text to the validator.
func init() {
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", openapi3filter.PlainBodyDecoder)
}

// NewChecker reads a document. Errors: it is no valid OpenAPI, or an example in it does not fit its
// schema.
func NewChecker(document []byte) (*Checker, error) {
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background(), openapi3.EnableExamplesValidation()); err != nil {
		return nil, err
	}
	strict(doc)
	router, err := legacy.NewRouter(doc)
	if err != nil {
		return nil, err
	}
	return &Checker{Document: doc, router: router}, nil
}

// ErrUndescribed is of exchanges on paths or with methods that the document does not have.
var ErrUndescribed = errors.New("not in the document")

// Check compares one answer with what the document says about the request's operation: status, headers,
// a body without members that are not described, and of a refusal its code. Errors: ErrUndescribed; what is wrong.
func (c *Checker) Check(method, target string, status int, header http.Header, body []byte) error {
	r, err := http.NewRequest(method, target, http.NoBody)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUndescribed, err)
	}
	if path := r.URL.Path; len(path) > 1 {
		r.URL.Path = strings.TrimSuffix(path, "/") // the program takes both forms
	}
	r.URL.Scheme, r.URL.Host = "", ""
	route, _, err := c.router.FindRoute(r)
	if err != nil {
		return fmt.Errorf("%w: %s %s: %w", ErrUndescribed, method, target, err)
	}
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, Route: route},
		Status:                 status, Header: header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	if err == nil {
		err = checkCode(route.Operation, status, body)
	}
	if err != nil {
		return fmt.Errorf("%s %s answered %d, which is not what the document says (describe it in the operation, see package apidoc): %w\n%s",
			method, target, status, err, Clip(body))
	}
	return nil
}

// Clip shortens a body for a message.
func Clip(b []byte) string {
	if len(b) > 2000 {
		return string(b[:2000]) + "…"
	}
	return string(b)
}

// strict makes every object refuse members that are not described. The document that clients read says
// nothing about them, so that it may grow.
func strict(doc *openapi3.T) {
	seen := map[*openapi3.Schema]bool{}
	var visit func(*openapi3.SchemaRef)
	visit = func(ref *openapi3.SchemaRef) {
		if ref == nil || ref.Value == nil || seen[ref.Value] {
			return
		}
		s := ref.Value
		seen[s] = true
		if len(s.Properties) > 0 && s.AdditionalProperties.Has == nil && s.AdditionalProperties.Schema == nil {
			no := false
			s.AdditionalProperties.Has = &no
		}
		for _, p := range s.Properties {
			visit(p)
		}
		visit(s.Items)
		visit(s.AdditionalProperties.Schema)
		for _, list := range []openapi3.SchemaRefs{s.AnyOf, s.OneOf, s.AllOf} {
			for _, one := range list {
				visit(one)
			}
		}
	}
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			for _, response := range op.Responses.Map() {
				for _, media := range response.Value.Content {
					visit(media.Schema)
				}
			}
		}
	}
}
