package feeds

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/domain"
	"quipu/domain/run"
	"quipu/domain/wire"
	"quipu/domain/workflow"
	"quipu/readapi"
	"quipu/readapi/orchestrator"
)

const runStreamPrefix = "run-"

// subject is what a socket follows: a workflow, or one execution of it.
type subject struct {
	workflowID  string
	executionID string // "" for all executions
}

func (s subject) stream() domain.StreamID { return domain.StreamID(runStreamPrefix + s.executionID) }

// admitAny takes a workflow or, if there is none of that id, an execution.
func (s *Server) admitAny(c *fiber.Ctx) (*readapi.Upgrade, error) { return s.admit(c, s.find) }

func (s *Server) admitExecution(c *fiber.Ctx) (*readapi.Upgrade, error) {
	return s.admit(c, func(ctx context.Context, id string) (subject, error) {
		return s.execution(ctx, id, unknown("names no execution", "path/id", "EXECUTION_UNKNOWN"))
	})
}

func (s *Server) admit(c *fiber.Ctx, find func(context.Context, string) (subject, error)) (*readapi.Upgrade, error) {
	q, err := parseQuery(func(key string) string { return strings.Clone(c.Query(key)) }, s.log)
	id, bad := url.PathUnescape(strings.Clone(c.Params("id")))
	if bad != nil {
		err = errors.Join(fault("path/id", "is not percent-encoded correctly"), err)
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), admitTimeout)
	defer cancel()
	what, err := find(ctx, id)
	if err == nil && q.executionID != "" {
		what, err = s.narrow(ctx, what, q.executionID)
	}
	if err != nil {
		return nil, err
	}
	if q.latest {
		// Now, before the handshake: whatever is recorded once the client is connected comes after.
		if q.after, err = s.deps.Log.Head(ctx); err != nil {
			return nil, err
		}
	}
	return &readapi.Upgrade{
		Group:    orchestrator.Dialect + "/" + what.workflowID + "/" + what.executionID,
		GroupMax: s.options.SocketsPerIDMax,
		Open:     func(h readapi.Handle, now time.Time) readapi.Session { return newSession(s, what, q, h.Wake, now) },
	}, nil
}

// find tells what an id names.
func (s *Server) find(ctx context.Context, id string) (subject, error) {
	none := unknown("names neither a workflow nor an execution", "path/id", "WORKFLOW_UNKNOWN")
	if isFlowID(id) {
		return subject{workflowID: id}, nil
	}
	first, err := s.first(ctx, workflow.Stream(id))
	if err != nil {
		return subject{}, err
	}
	if first != nil {
		return subject{workflowID: id}, nil
	}
	return s.execution(ctx, id, none)
}

// execution finds a run that has begun; otherwise it returns none.
func (s *Server) execution(ctx context.Context, id string, none error) (subject, error) {
	id = strings.TrimPrefix(id, "exec_")
	first, err := s.first(ctx, domain.StreamID(runStreamPrefix+id))
	if err != nil {
		return subject{}, err
	}
	if first == nil || first.Type != wire.RunStarted {
		return subject{}, none
	}
	e, err := wire.DecodeRun(first.Type, first.Data)
	if err != nil {
		return subject{}, err
	}
	return subject{workflowID: e.(run.Started).WorkflowID, executionID: id}, nil
}

// narrow picks one execution of what the path names.
func (s *Server) narrow(ctx context.Context, of subject, id string) (subject, error) {
	none := unknown("names no execution of it", "query/execution_id", "EXECUTION_UNKNOWN")
	what, err := s.execution(ctx, id, none)
	if err == nil && (what.workflowID != of.workflowID || of.executionID != "" && what != of) {
		return subject{}, none
	}
	return what, err
}

// first is the first event of a stream, nil if it has none or cannot be.
func (s *Server) first(ctx context.Context, stream domain.StreamID) (*domain.Recorded, error) {
	if stream.Check() != nil {
		return nil, nil
	}
	page, err := s.deps.Log.ReadStream(ctx, stream, 0, 1)
	switch {
	case errors.Is(err, domain.ErrNotFound), err == nil && len(page) == 0:
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &page[0], nil
}

// isFlowID reports whether id has the form of those that stand for a flow name.
func isFlowID(id string) bool {
	hex, ok := strings.CutPrefix(id, "lao-")
	return ok && len(hex) == 16 && strings.Trim(hex, "0123456789abcdef") == ""
}

func unknown(message, field, code string) error {
	return domain.E(domain.KindNotFound, "", "", message).WithField(field).WithCode(code)
}

func fault(field, message string) error {
	return domain.E(domain.KindInvalid, "", "", message).WithField(field).WithCode("INVALID_REQUEST")
}
