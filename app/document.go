package app

import (
	"fmt"

	"quipu/apidoc"
	"quipu/app/admin"
	"quipu/commands/intakehttp"
	"quipu/docs"
	"quipu/infra/telemetry"
	"quipu/readapi/history"
	"quipu/readapi/openapi"
)

// registerDocs serves the document of the routes and its pages. It panics if a route is described
// wrongly: descriptions are constants, and a test builds them.
func (s *server) registerDocs() {
	document, err := buildDocument(s.Version)
	if err == nil {
		err = openapi.Register(s.web.App, "Quipu", document, docs.Sockets)
	}
	if err != nil {
		panic(fmt.Sprintf("describe the routes: %v", err))
	}
}

// buildDocument describes every route. A package with routes adds its operations here.
func buildDocument(version string) ([]byte, error) {
	return openapi.Build(documentInfo(version),
		intakehttp.Operations(),
		history.Operations(),
		rootOperations(),
		admin.Operations(),
	)
}

func documentInfo(version string) openapi.Info {
	return openapi.Info{
		Title: "Quipu", Version: version,
		Description: "Workflows that stand up in an audit. Commands are answered after their events are on disk; " +
			"lists come from views and say how far these are. Every refusal has one form, and `detail` one entry for each field at fault.\n\n" +
			"Where the server's configuration has keys, send one as `x-api-key` or `Authorization: Bearer`.\n\n" +
			"Events come live by WebSocket: [the sockets](/docs/sockets).",
		Tags: []openapi.Tag{
			{Name: "workflows", Doc: "Stored definitions, and runs of them."},
			{Name: "executions", Doc: "Runs of every dialect: how they stand, and how they stood."},
			{Name: "events", Doc: "What happened, event by event."},
			{Name: "approvals", Doc: "What runs wait for people to decide."},
			{Name: "node-types", Doc: "What nodes can do, with the schemas of their configuration."},
			{Name: "endpoints", Doc: "Places that workflows are reached at."},
			{Name: "channels", Doc: "Messages that runs wait for."},
			{Name: "runs", Doc: "The contract of LAO's editor."},
			{Name: "operation", Doc: "For whoever runs the server."},
		},
	}
}

// indexShown is the answer of GET /.
type indexShown struct {
	Name    string            `json:"name" example:"quipu"`
	Version string            `json:"version" example:"0.1.0"`
	Log     string            `json:"log" example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3"`
	Links   map[string]string `json:"links"`
	Docs    string            `json:"docs" example:"/docs describes the routes, /docs/sockets the sockets"`
}

// rootOperations describes the routes that the root itself serves.
func rootOperations() []apidoc.Operation {
	return []apidoc.Operation{
		{
			Method: "GET", Path: "/", ID: "index", Tag: "operation", Key: apidoc.KeyNever, Summary: "What this is and where it goes on",
			Answers: []apidoc.Answer{{Status: 200, Of: indexShown{}}},
		},
		{
			Method: "GET", Path: "/health/live", ID: "live", Tag: "operation", Key: apidoc.KeyNever, Summary: "Whether only a restart helps",
			Answers: []apidoc.Answer{{Status: 200, Of: telemetry.Report{}}, {Status: 503, Doc: "A check failed.", Of: telemetry.Report{}}},
		},
		{
			Method: "GET", Path: "/health/ready", ID: "ready", Tag: "operation", Key: apidoc.KeyNever, Summary: "Whether requests are welcome",
			Answers: []apidoc.Answer{
				{Status: 200, Of: telemetry.Report{}, Example: `{"status":"ok","checks":{"log":{"status":"ok"},"process":{"status":"ok"},"views":{"status":"ok"}}}`},
				{Status: 503, Doc: "Requests should go elsewhere for now.", Of: telemetry.Report{}, Example: `{"status":"failed","checks":{"process":{"status":"failed","error":"the process is starting"}}}`},
			},
		},
		{
			Method: "GET", Path: "/metrics", ID: "metrics", Tag: "operation", Summary: "Metrics in the text form of Prometheus",
			Answers: []apidoc.Answer{{Status: 200, MediaType: "text/plain", Of: apidoc.Text(""), Example: "quipu_runs_active 0\n"}},
		},
		{
			Method: "GET", Path: "/blobs/:sha256", ID: "blob", Tag: "executions", Summary: "A payload too large to stand in an event",
			Doc: "Frames and results link here. Its name is its content: it never changes.", Params: map[string]string{"sha256": "Of the content, in lower-case hex."},
			PathExamples: map[string]string{"sha256": "5f16f4c7f149ac4f9510d9cf8cf384038ad348b3bcdc01915f95de12df9d1b02"},
			Answers:      []apidoc.Answer{{Status: 200, Of: apidoc.Schema{}, Example: `{"large":"value"}`, Headers: apidoc.Headers(apidoc.ETag)}},
			Refusals:     []apidoc.Refusal{{Status: 404, Code: "BLOB_UNKNOWN", Field: "path/sha256", Message: "no such blob"}},
		},
	}
}
