package admin

import (
	"context"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/apidoc"
	"quipu/domain"
	"quipu/infra/postgres/members"
)

// nodesTimeout bounds the look at the nodes.
const nodesTimeout = 5 * time.Second

// nodesShown is the answer of GET /admin/nodes.
type nodesShown struct {
	Log   domain.LogID   `json:"log"`
	Node  string         `json:"node"`  // the one that answers
	Level int            `json:"level"` // the feature level in force
	Nodes []members.Node `json:"nodes"`
}

// nodes answers who shares this node's log.
func (r *routes) nodes(c *fiber.Ctx) error {
	ctx, cancel := context.WithTimeout(c.UserContext(), nodesTimeout)
	defer cancel()
	all, level, err := r.Node.List(ctx)
	if err != nil {
		return err
	}
	return c.JSON(nodesShown{Log: r.Log, Node: r.Node.ID, Level: level, Nodes: all})
}

// nodesOperation describes GET /admin/nodes.
func nodesOperation() apidoc.Operation {
	return apidoc.Operation{
		Method: "GET", Path: "/admin/nodes", ID: "nodes", Tag: "operation", Summary: "The nodes that share this one's log",
		Doc: "Also those that died within the last minutes. quipu cluster nodes asks the database itself, when no node answers.",
		Answers: []apidoc.Answer{{Status: 200, Of: nodesShown{}, Example: `{"log":"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3","node":"01987a5e-4a2c-7a54-b1f0-6c9d3a1e2f10","level":1,"nodes":[` +
			`{"incarnation":"01987a5e-4a2c-7a54-b1f0-6c9d3a1e2f10","name":"host-1","version":"0.1.0","level":1,"state":"live","since":"2026-01-02T03:04:05Z","seen":"2026-01-02T03:05:05Z"}]}`}},
		Refusals: []apidoc.Refusal{{Status: 503, Code: "MEMBERS_UNAVAILABLE", Message: "the cluster's database cannot be reached now"}},
	}
}
