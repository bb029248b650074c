package feeds

import (
	"context"
	"strings"

	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/wire"
	"quipu/readapi"
	"quipu/readapi/orchestrator"
)

// frame is a rendered event but for `prev`, the one member that differs between sockets.
type frame []byte

// prevKey stands before the value of prev at the end of a frame.
const prevKey = `,"prev":"`

// append appends the frame as a socket frame. prev is a position; it needs no escaping.
func (f frame) append(dst []byte, prev string) []byte {
	body := f[:len(f)-1] // without the closing brace
	dst = readapi.AppendTextHeader(dst, len(body)+len(prevKey)+len(prev)+len(`"}`))
	dst = append(dst, body...)
	dst = append(dst, prevKey...)
	dst = append(dst, prev...)
	return append(dst, `"}`...)
}

// frame renders an event of a workflow, once for all sockets that share it.
func (s *Server) frame(ctx context.Context, workflowID string, e readapi.Event) (frame, error) {
	render := func() (any, error) {
		event := orchestrator.Event{Recorded: e.Recorded(), WorkflowID: workflowID}
		if id, ok := strings.CutPrefix(string(e.Recorded().Stream), runStreamPrefix); ok { // else of the workflow itself
			event.ExecutionID = id
		}
		if node := nodeOf(e.Recorded()); node != "" {
			event.NodeType = s.deps.NodeTypes(ctx, event.ExecutionID, node)
		}
		b, err := s.renderer.Append(ctx, nil, event)
		return frame(b), err
	}
	if !e.Live() {
		v, err := render()
		return v.(frame), err
	}
	v, err := e.Rendered(orchestrator.Dialect, render)
	if err != nil {
		return nil, err
	}
	return v.(frame), nil
}

// nodeOf is the node that an event is about, "" if none.
func nodeOf(e *domain.Recorded) string {
	if !strings.HasPrefix(string(e.Stream), runStreamPrefix) || e.Type == wire.RunFailed { // names the node that failed, and is about the run
		return ""
	}
	if quoted, ok := rawjson.Get(e.Data, "/task"); ok && rawjson.KindOf(quoted) == rawjson.String {
		return rawjson.Unquote(quoted)
	}
	return ""
}
