package intakehttp

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"quipu/commands/node"
	"quipu/domain"
	"quipu/domain/rawjson"
)

// NodeTypes serves what tasks and nodes can be (contract S2-18 to S2-20, D24). Answers are made once:
// the registry never changes while the process runs.
type NodeTypes struct {
	Registry *node.Registry

	list []byte
}

// Register adds the routes.
func (n *NodeTypes) Register(app fiber.Router) {
	n.list = appendNodeTypes(nil, n.Registry)
	app.Get("/api/node-types", func(c *fiber.Ctx) error { return sendData(c, n.list) })
	app.Get("/api/node-types/:type", n.detail)
	app.Get("/api/node-types/:type/schema", n.schema)
}

func (n *NodeTypes) detail(c *fiber.Ctx) error {
	t, err := n.find(c)
	if err != nil {
		return err
	}
	return sendData(c, appendNodeType(nil, t, true))
}

// schema gives the bare JSON Schema of the type's config, for validators.
func (n *NodeTypes) schema(c *fiber.Ctx) error {
	t, err := n.find(c)
	if err != nil {
		return err
	}
	return sendData(c, orAnything(t.Config))
}

// find takes names and aliases.
func (n *NodeTypes) find(c *fiber.Ctx) (*node.Type, error) {
	name, err := url.PathUnescape(strings.Clone(c.Params("type")))
	if err != nil {
		return nil, domain.E(domain.KindInvalid, "", "", "is not percent-encoded correctly").WithField("path/type").WithCode("INVALID_ID")
	}
	t, ok := n.Registry.Get(name)
	if !ok {
		return nil, domain.E(domain.KindNotFound, "", "", "names no node type; use one of: "+n.Registry.Names()).
			WithField("path/type").WithCode("NODE_TYPE_UNKNOWN")
	}
	return t, nil
}

// appendNodeTypes renders {items, count, total, limit, offset, categories}: all types on one page, and
// the names of those of each category.
func appendNodeTypes(b []byte, r *node.Registry) []byte {
	types := r.Types()
	b = append(b, `{"items":[`...)
	for i, t := range types {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendNodeType(b, t, false)
	}
	count := strconv.Itoa(len(types))
	b = append(b, `],"count":`+count+`,"total":`+count+`,"limit":`+count+`,"offset":0,"categories":[`...)
	for i, category := range node.Categories(types) {
		if i > 0 {
			b = append(b, ',')
		}
		b = rawjson.AppendString(append(b, `{"name":`...), category.Name)
		b = append(b, `,"types":`...)
		names := make([]string, len(category.Types))
		for j, t := range category.Types {
			names[j] = t.Name
		}
		b = append(appendStrings(b, names), '}')
	}
	return append(b, `]}`...)
}

// appendNodeType renders a type as the Orchestrator does, with what we know beside; whole adds the
// examples.
func appendNodeType(b []byte, t *node.Type, whole bool) []byte {
	text := func(key, value string) { b = rawjson.AppendString(append(b, key...), value) }
	text(`{"type":`, t.Name)
	text(`,"name":`, t.Title)
	text(`,"category":`, t.Category)
	text(`,"description":`, t.Description)
	text(`,"kind":`, t.Kind.String())
	b = appendStrings(append(b, `,"aliases":`...), t.Aliases)
	b = append(append(b, `,"schema":`...), orAnything(t.Config)...)
	b = append(append(b, `,"input_schema":`...), orAnything(t.Input)...)
	b = append(append(b, `,"output_schema":`...), orAnything(t.Output)...)
	if !whole {
		return append(b, '}')
	}
	b = append(b, `,"examples":[`...)
	for i, e := range t.Examples {
		if i > 0 {
			b = append(b, ',')
		}
		text(`{"title":`, e.Title)
		b = append(append(b, `,"params":`...), e.Params...)
		b = append(append(append(b, `,"output":`...), e.Output...), '}')
	}
	return append(b, `]}`...)
}

func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = rawjson.AppendString(b, s)
	}
	return append(b, ']')
}

// orAnything is the schema, or the one that takes anything.
func orAnything(schema []byte) []byte {
	if len(schema) == 0 {
		return []byte("{}")
	}
	return schema
}
