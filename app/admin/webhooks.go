package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/apidoc"
	"quipu/app/process"
	"quipu/commands/intakehttp"
	"quipu/domain"
	"quipu/eventbus/poison"
	"quipu/eventbus/webhooks"
)

const (
	// poisonPage is how many entries of a poison list one answer has at most.
	poisonPage = 100
	// replayTimeout bounds one replay; what is left stays on the list.
	replayTimeout = 60 * time.Second
	// replayFailuresMax is after how many failures in a row a replay of all gives up.
	replayFailuresMax = 3
)

// webhookShown is how one webhook stands.
type webhookShown struct {
	Name     string `json:"name" example:"orders"`
	Place    string `json:"place" example:"https://example.com" doc:"Scheme and host of its URL."`
	Active   bool   `json:"active" doc:"Whether the node that answers posts to it; of several nodes one does." example:"true"`
	Position string `json:"position" doc:"Everything up to here was taken or given up; of the node that posts." example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a"`
	Pending  int    `json:"pending" doc:"Events read and not taken yet." example:"0"`
	Ailing   string `json:"ailing" doc:"What is wrong with it; empty for nothing."`
	Poison   int    `json:"poison" doc:"Events on its poison list." example:"0"`
}

type webhooksShown struct {
	Webhooks []webhookShown `json:"webhooks"`
}

// poisonShown is one event that a webhook gave up.
type poisonShown struct {
	Position string `json:"position" example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a"`
	EventID  string `json:"event_id" example:"5f16f4c7-f149-8c4f-9510-d9cf8cf38403"`
	Type     string `json:"type" example:"run.completed.v1"`
	Stream   string `json:"stream" example:"run-0192f0c1-7c1e-7000-8000-000000000001"`
	Revision int64  `json:"revision" example:"7"`
	Attempts int    `json:"attempts" example:"15"`
	Reason   string `json:"reason" example:"answered 500"`
	At       string `json:"at" format:"date-time" example:"2025-09-02T09:42:05.043Z"`
}

type poisonsShown struct {
	Entries []poisonShown `json:"entries"`
	Next    string        `json:"next" doc:"after= of the next page; empty at the end."`
}

// poisonQuery is read by hand: a position is checked against the log here.
type poisonQuery struct {
	After string `query:"after" doc:"Entries after this position; next of the page before."`
}

type replayShown struct {
	Taken  int `json:"taken" example:"1"`
	Failed int `json:"failed" example:"0" doc:"Still on the list, with their new reasons."`
	Left   int `json:"left" example:"0" doc:"On the list now."`
}

type replayAsked struct {
	Position string `json:"position" required:"false" doc:"The one event; without it all, oldest first, until several in a row fail." example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a"`
}

type discardAsked struct {
	Position string `json:"position" example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a"`
}

func (r *routes) listWebhooks(c *fiber.Ctx) error {
	out := webhooksShown{Webhooks: []webhookShown{}}
	if r.Webhooks == nil {
		return c.JSON(out)
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), process.RequestTimeout)
	defer cancel()
	states, err := r.Webhooks.Status(ctx)
	if err != nil {
		return err
	}
	for _, w := range states {
		out.Webhooks = append(out.Webhooks, webhookShown{
			Name: w.Name, Place: w.Place, Active: w.Active, Position: w.Position.Cursor(r.Log), Pending: w.Pending, Ailing: w.Ailing, Poison: w.Poison,
		})
	}
	return c.JSON(out)
}

// webhook gives the sender and the name in the path; its own copy of it.
func (r *routes) webhook(c *fiber.Ctx) (*webhooks.Sender, string, error) {
	name := strings.Clone(c.Params("name"))
	if r.Webhooks == nil {
		return nil, "", domain.E(domain.KindNotFound, "", "", "this server has no webhooks").WithField("path/name").WithCode("WEBHOOK_UNKNOWN")
	}
	return r.Webhooks, name, nil
}

func (r *routes) listPoison(c *fiber.Ctx) error {
	sender, name, err := r.webhook(c)
	if err != nil {
		return err
	}
	after, err := r.positionOf(c.Query("after"), "query/after")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), process.RequestTimeout)
	defer cancel()
	list, err := sender.Poisoned(ctx, name, after, poisonPage)
	if err != nil {
		return inPath(err)
	}
	out := poisonsShown{Entries: make([]poisonShown, 0, len(list))}
	for _, e := range list {
		out.Entries = append(out.Entries, poisonShown{
			Position: e.Position.Cursor(r.Log), EventID: e.EventID, Type: e.Type, Stream: string(e.Stream), Revision: int64(e.Revision),
			Attempts: e.Attempts, Reason: e.Reason, At: e.At.Format(domain.TimeLayout),
		})
	}
	if len(list) == poisonPage {
		out.Next = list[len(list)-1].Position.Cursor(r.Log)
	}
	return c.JSON(out)
}

func (r *routes) replayPoison(c *fiber.Ctx) error {
	at, err := r.askedPosition(c)
	if err != nil {
		return err
	}
	sender, name, err := r.webhook(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Stop, replayTimeout)
	defer cancel()
	var done webhooks.Replayed
	if at == 0 {
		done, err = sender.ReplayAll(ctx, name, replayFailuresMax)
	} else if err = sender.Replay(ctx, name, at); err == nil {
		done.Taken = 1
	}
	if coded, ok := errors.AsType[*domain.Error](err); ok && coded.Code == "NOT_TAKEN" {
		done.Failed, err = 1, nil
	}
	if err != nil {
		return inPath(err)
	}
	left, err := sender.Poisoned(ctx, name, 0, poison.EntriesMax)
	if err != nil {
		return inPath(err)
	}
	return c.JSON(replayShown{Taken: done.Taken, Failed: done.Failed, Left: len(left)})
}

func (r *routes) discardPoison(c *fiber.Ctx) error {
	at, err := r.askedPosition(c)
	if err != nil {
		return err
	}
	sender, name, err := r.webhook(c)
	if err != nil {
		return err
	}
	if at == 0 {
		return domain.E(domain.KindUnprocessable, "", "", "is missing; name the one event that is not to be sent any more").WithField("/position").WithCode("INVALID_BODY")
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), process.RequestTimeout)
	defer cancel()
	if err := sender.Discard(ctx, name, at); err != nil {
		return inPath(err)
	}
	return c.SendStatus(fiber.StatusNoContent)
}

// askedPosition reads {position?}; 0 for none. Browsers are kept away: a page could make one post.
func (r *routes) askedPosition(c *fiber.Ctx) (domain.Position, error) {
	if c.Get(fiber.HeaderOrigin) != "" {
		return 0, domain.E(domain.KindRefused, "", "", "this route is not for browsers").WithCode("NOT_FOR_BROWSERS")
	}
	if len(strings.TrimSpace(string(c.Body()))) == 0 {
		return 0, nil
	}
	if err := intakehttp.CheckJSON(c.Body()); err != nil {
		return 0, err
	}
	var asked struct {
		Position *string `json:"position"`
	}
	if err := json.Unmarshal(c.Body(), &asked); err != nil {
		return 0, domain.E(domain.KindUnprocessable, "", "", `is not an object with a position, such as {"position": "…"}`).WithField("body").WithCode("INVALID_BODY")
	}
	if asked.Position == nil {
		return 0, nil
	}
	at, err := r.positionOf(*asked.Position, "/position")
	if err == nil && at == 0 {
		err = domain.E(domain.KindUnprocessable, "", "", "is the place before the first event").WithField("/position").WithCode("INVALID_POSITION")
	}
	return at, err
}

// positionOf reads a cursor of this log, "" for the beginning.
func (r *routes) positionOf(text, field string) (domain.Position, error) {
	if text == "" {
		return 0, nil
	}
	log, at, err := domain.ParseCursor(text)
	switch {
	case err != nil:
		return 0, domain.E(domain.KindUnprocessable, "", "", "is not a position as the list shows it").WithField(field).WithCode("INVALID_POSITION")
	case log != r.Log:
		return 0, domain.E(domain.KindConflict, "", "", "belongs to another log than the one here").WithField(field).WithCode("LOG_CHANGED")
	}
	return at, nil
}

// inPath says where in the request the name stood that is no webhook's.
func inPath(err error) error {
	if e, ok := errors.AsType[*domain.Error](err); ok && e.Code == "WEBHOOK_UNKNOWN" {
		return e.WithField("path/name")
	}
	return err
}

// webhookOperations describes the routes.
func webhookOperations() []apidoc.Operation {
	unknown := apidoc.Refusal{Status: 404, Code: "WEBHOOK_UNKNOWN", Field: "path/name", Message: "names no webhook of this server's configuration"}
	noEntry := apidoc.Refusal{Status: 404, Code: "ENTRY_UNKNOWN", Field: "position", Message: "stands on no poison list of this webhook"}
	changed := apidoc.Refusal{Status: 409, Code: "LOG_CHANGED", Field: "query/after", Message: "belongs to another log than the one here"}
	badPlace := apidoc.Refusal{Status: 422, Code: "INVALID_POSITION", Field: "query/after", Message: "is not a position as the list shows it"}
	badJSON := apidoc.Refusal{Status: 400, Code: "INVALID_JSON", Field: "body", Message: "is not acceptable JSON at byte 0: a value must begin here"}
	badBody := apidoc.Refusal{Status: 422, Code: "INVALID_BODY", Field: "body", Message: "is not an object with a position"}
	browsers := apidoc.Refusal{Status: 409, Code: "NOT_FOR_BROWSERS", Message: "this route is not for browsers"}
	names, example := map[string]string{"name": "Of the webhook."}, map[string]string{"name": "orders"}
	return []apidoc.Operation{
		{
			Method: "GET", Path: "/admin/webhooks", ID: "webhooks", Tag: "operation", Summary: "How the webhooks stand",
			Answers: []apidoc.Answer{{Status: 200, Of: webhooksShown{}}},
		},
		{
			Method: "GET", Path: "/admin/webhooks/:name/poison", ID: "webhookPoison", Tag: "operation", Summary: "Events that a webhook's receiver did not take",
			Query: poisonQuery{}, Doc: "By position, " + strconv.Itoa(poisonPage) + " at once.", Params: names, PathExamples: example,
			Answers: []apidoc.Answer{{Status: 200, Of: poisonsShown{}}}, Refusals: []apidoc.Refusal{unknown, changed, badPlace},
		},
		{
			Method: "POST", Path: "/admin/webhooks/:name/poison/replay", ID: "replayWebhookPoison", Tag: "operation", Summary: "Post events of the poison list again",
			Doc:    fmt.Sprintf("Each once; what is taken leaves the list. A replay of all ends after %d failures in a row.", replayFailuresMax),
			Params: names, PathExamples: example, Body: &apidoc.Body{Of: replayAsked{}, Optional: true},
			Answers: []apidoc.Answer{{Status: 200, Of: replayShown{}}}, Refusals: []apidoc.Refusal{unknown, noEntry, browsers, changed, badJSON, badBody, badPlace},
		},
		{
			Method: "POST", Path: "/admin/webhooks/:name/poison/discard", ID: "discardWebhookPoison", Tag: "operation", Summary: "Take an event off the poison list for good",
			Params: names, PathExamples: example, Body: &apidoc.Body{Of: discardAsked{}},
			Answers: []apidoc.Answer{{Status: 204, Doc: "It is gone."}}, Refusals: []apidoc.Refusal{unknown, noEntry, browsers, changed, badJSON, badBody, badPlace},
		},
	}
}
