package intakehttp

import (
	"errors"
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v2"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/workflow"
)

// pathID is the field that faults of the id in a path name, here as in the reading half.
const pathID = "path/id"

// idOf decodes the id in the path; its own copy, because the framework's strings are only valid
// during the request.
func idOf(c *fiber.Ctx) (string, error) {
	id, err := url.PathUnescape(strings.Clone(c.Params("id")))
	if err != nil {
		return "", domain.E(domain.KindInvalid, "", "", "is not percent-encoded correctly").WithField(pathID).WithCode("INVALID_ID")
	}
	return id, nil
}

// runID reads the id of a run; exec_<id> is accepted everywhere (contract D20).
func runID(c *fiber.Ctx) (string, error) {
	id, err := idOf(c)
	if err != nil {
		return "", err
	}
	id = strings.TrimPrefix(id, "exec_")
	if err := commands.RunStream(id).Check(); err != nil || id == "" {
		return "", unknownRun()
	}
	return id, nil
}

func unknownRun() error {
	return domain.E(domain.KindNotFound, "", "", "names no execution").WithField(pathID).WithCode("EXECUTION_UNKNOWN")
}

// known replaces the log's word for a missing stream by one that speaks of the run.
func known(err error) error {
	if errors.Is(err, domain.ErrNotFound) {
		return unknownRun()
	}
	return err
}

// workflowID reads the id of a workflow.
func workflowID(c *fiber.Ctx) (string, error) {
	id, err := idOf(c)
	if err == nil && workflow.Stream(id).Check() != nil {
		err = unknownWorkflow()
	}
	return id, err
}

func unknownWorkflow() error {
	return domain.E(domain.KindNotFound, "", "", "names no workflow").WithField(pathID).WithCode("WORKFLOW_UNKNOWN")
}

// knownWorkflow says where in the request the id stood that names no workflow.
func knownWorkflow(err error) error {
	var missing *domain.Error
	if errors.As(err, &missing) && missing.Code == "WORKFLOW_UNKNOWN" {
		return unknownWorkflow()
	}
	return err
}
