package web

import (
	"runtime/debug"
	"strings"

	"github.com/gofiber/fiber/v2"

	"quipu/domain"
	"quipu/infra/tracing"
)

// observe measures every request and turns a panic into a plain 500 whose details are logged.
func (s *Server) observe(c *fiber.Ctx) (err error) {
	began, span := s.Clock.Monotonic(), s.beginTrace(c)
	defer func() {
		if r := recover(); r != nil {
			s.Logger.Error("request panicked", "route", c.Route().Path, "stack", string(debug.Stack()))
			err = domain.E(domain.KindInternal, "request", "", "panic")
		}
		if err != nil {
			// The error handler writes the answer; called here so that its status is measured.
			if handled := c.App().ErrorHandler(c, err); handled != nil {
				s.Logger.Error("error handler failed", "error", handled)
			}
			if status := c.Response().StatusCode(); status >= fiber.StatusInternalServerError {
				s.tellFailed(c.Route().Path, status, err)
			}
			err = nil
		}
		s.Metrics.HTTPObserved(c.Route().Path, methodLabel(c.Method()), c.Response().StatusCode(), s.Clock.Monotonic()-began)
		span.EndHTTP(methodLabel(c.Method()), c.Route().Path, c.Response().StatusCode())
	}()
	return c.Next()
}

// methodLabel is a constant of the same text: the framework's strings live in a buffer that the next
// request overwrites, and a label is kept. Methods nobody serves share one label.
func methodLabel(method string) string {
	for _, m := range []string{fiber.MethodGet, fiber.MethodPost, fiber.MethodPut, fiber.MethodPatch, fiber.MethodDelete, fiber.MethodHead, fiber.MethodOptions} {
		if m == method {
			return m
		}
	}
	return "OTHER"
}

const headerTraceparent = "Traceparent"

// beginTrace begins the span of a request. What handlers take for the client's traceparent is that of
// the span from here on.
func (s *Server) beginTrace(c *fiber.Ctx) tracing.Request {
	if s.Tracer == nil || strings.HasPrefix(c.Path(), "/health/") || c.Path() == "/metrics" {
		return tracing.Request{}
	}
	r := s.Tracer.Begin("request", c.Get(headerTraceparent))
	if r.Traceparent == "" {
		c.Request().Header.Del(headerTraceparent)
	} else {
		c.Request().Header.Set(headerTraceparent, r.Traceparent)
	}
	return r
}
