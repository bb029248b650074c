package wire

import (
	"quipu/domain"
	"quipu/domain/run"
)

func (r *reader) started() run.Started {
	e := run.Started{Definition: domain.Value{JSON: null}, Input: domain.Value{JSON: null}}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "run_id":
			e.RunID = r.Text()
		case "source":
			e.Source = r.Text()
		case "flow_name":
			e.FlowName = r.Text()
		case "run_name":
			e.RunName = r.Text()
		case "workflow_id":
			e.WorkflowID = r.Text()
		case "workflow_version":
			e.WorkflowVersion = r.Int()
		case "endpoint":
			e.Endpoint = r.Text()
		case "definition":
			e.Definition = r.value()
		case "input":
			e.Input = r.value()
		case "body_sha256":
			e.BodySHA256 = r.Text()
		case "connection_id":
			e.ConnectionID = r.Text()
		case "metadata":
			e.Metadata = r.value()
		case "retry_of":
			e.RetryOf = r.Text()
		case "reused":
			e.Reused = r.value()
		case "secrets":
			e.Secrets = r.secrets()
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) abandoned() run.Abandoned {
	e := run.Abandoned{}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "run_id":
			e.RunID = r.Text()
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) completed() run.Completed {
	e := run.Completed{Results: domain.Value{JSON: null}}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "started_at":
			e.StartedAt = r.instant()
		case "results":
			e.Results = r.value()
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) failed() run.Failed {
	e := run.Failed{Results: domain.Value{JSON: null}}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "started_at":
			e.StartedAt = r.instant()
		case "task":
			e.Task = r.Text()
		case "error":
			e.Error = r.errorInfo()
		case "results":
			e.Results = r.value()
		default:
			r.Unknown()
		}
	}
	return e
}

func (r *reader) cancelled() run.Cancelled {
	e := run.Cancelled{Results: domain.Value{JSON: null}}
	for r.Object(); r.Next(); {
		switch string(r.Key()) {
		case "started_at":
			e.StartedAt = r.instant()
		case "reason":
			e.Reason = r.Text()
		case "results":
			e.Results = r.value()
		default:
			r.Unknown()
		}
	}
	return e
}
