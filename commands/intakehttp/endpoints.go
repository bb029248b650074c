package intakehttp

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/commands"
	"quipu/commands/definition"
	"quipu/domain"
	"quipu/domain/rawjson"
)

// EndpointMaker is what the routes need of the endpoints.
type EndpointMaker interface {
	CreateOnce(ctx context.Context, q commands.EndpointRequest) (commands.NewEndpoint, error)
}

// Endpoints serves the writing half of /api/endpoints (contract D15).
type Endpoints struct {
	Endpoints EndpointMaker
	LogID     domain.LogID
	Timeout   time.Duration // of the work of one request
}

// Register adds the route.
func (e *Endpoints) Register(app fiber.Router) {
	app.Post("/api/endpoints", e.create)
}

// create answers with the key, which is shown this once: the log holds its hash alone, and the answer to
// a repeat null.
func (e *Endpoints) create(c *fiber.Ctx) error {
	body := ownBody(c)
	slug, err := parseEndpoint(body)
	if err != nil {
		return err
	}
	repeat, err := repeatOf(c, body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), e.Timeout)
	defer cancel()
	made, err := e.Endpoints.CreateOnce(ctx, commands.EndpointRequest{Slug: slug, Key: repeat.key, Body: repeat.body, By: by(c)})
	if err != nil {
		var fault *domain.Error
		if errors.As(err, &fault) && fault.Field == "slug" {
			return fault.WithField("/slug")
		}
		return err
	}
	position := made.Position.Cursor(e.LogID)
	c.Set(HeaderPosition, position)
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Status(fiber.StatusCreated)
	c.Location("/api/endpoints/" + url.PathEscape(made.ID))
	b := rawjson.AppendString(append(make([]byte, 0, 320), `{"endpoint":`...), made.ID)
	b = rawjson.AppendString(append(b, `,"slug":`...), made.Slug)
	if made.Key == "" {
		b = rawjson.AppendString(append(b, `,"api_key":null,"message":`...), keyWasShown)
	} else {
		b = rawjson.AppendString(append(b, `,"api_key":`...), made.Key)
	}
	b = rawjson.AppendString(append(b, `,"created_at":`...), made.CreatedAt.Format(domain.TimeLayout))
	b = rawjson.AppendString(append(b, `,"position":`...), position)
	return sendData(c, append(b, '}'))
}

// keyWasShown stands beside a key that is null.
const keyWasShown = "an earlier request with this Idempotency-Key made the endpoint; its api_key was shown in the answer to that and is stored nowhere. Make another endpoint with a new key if it was lost"

// parseEndpoint reads {slug}; other members are passed over, as in the other bodies of /api.
// Errors: ErrInvalid if it is no JSON; ErrUnprocessable naming the field.
func parseEndpoint(body []byte) (slug string, err error) {
	if err := CheckJSON(body); err != nil {
		return "", err
	}
	var f definition.Faults
	if rawjson.KindOf(body) != rawjson.Object {
		f.Add("", "must be an object with slug")
		return "", definition.Refusal(domain.KindUnprocessable, "INVALID_BODY", f.List, nil)
	}
	value, _ := rawjson.Get(body, "/slug")
	text := memberText(value, "/slug", &f)
	if text == nil {
		f.Add("/slug", "is missing; give the endpoint a slug, such as coffee-shop")
		text = new(string)
	}
	return *text, definition.Refusal(domain.KindUnprocessable, "INVALID_BODY", f.List, nil)
}
