package agnt5

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"

	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/readapi"
)

// keyProtocol starts the subprotocol that carries the key (S1-3): browsers can set no header.
const keyProtocol = "x-api-key."

// The names that clients give endpoint and key by.
const (
	endpointName = "x-wf-endpoint"
	keyHeader    = "x-api-key"
)

// admit checks a request before the handshake (contract D13).
func (s *Sockets) admit(c *fiber.Ctx) (*readapi.Upgrade, error) {
	id := utils.CopyString(c.Query(endpointName))
	if id == "" {
		return nil, domain.E(domain.KindInvalid, "", "", "is missing; connect to /ws?x-wf-endpoint=<endpoint>, as POST /api/endpoints answered it").
			WithField("query/" + endpointName).WithCode("ENDPOINT_MISSING")
	}
	key, protocol := offeredKey(c)
	e, err := s.deps.Endpoints.Authenticate(c.UserContext(), id, key)
	if err != nil {
		return nil, err
	}
	r := request{endpoint: e}
	if err := r.parse(func(k string) string { return utils.CopyString(c.Query(k)) }); err != nil {
		return nil, err
	}
	if want := c.Query("log"); want != "" && want != string(s.deps.Log.ID()) {
		return nil, domain.E(domain.KindConflict, "", "", "the log is another than the one the cursor belongs to; begin anew without a cursor").
			WithCode("LOG_CHANGED").WithDetails(map[string]any{"log": string(s.deps.Log.ID())}).WithField("query/log")
	}
	return &readapi.Upgrade{
		Group: Dialect + "/" + e.ID, GroupMax: ConnectionsMax, Subprotocol: protocol, TextOnly: true,
		Open: s.open(r),
	}, nil
}

// offeredKey gives the key and the subprotocol to echo: a browser drops the connection when it offered
// one and got none back (S1-5).
func offeredKey(c *fiber.Ctx) (key, protocol string) {
	for offer := range strings.SplitSeq(c.Get(fiber.HeaderSecWebSocketProtocol), ",") {
		offer = strings.TrimSpace(offer)
		if rest, ok := strings.CutPrefix(offer, keyProtocol); ok && rest != "" {
			return strings.Clone(rest), strings.Clone(offer)
		}
	}
	return utils.CopyString(c.Get(keyHeader)), ""
}

// parse reads the query beside the endpoint: types, and what to go on with. It is the resume message in
// another form, so that both have one set of rules.
func (r *request) parse(query func(string) string) error {
	if types := query("types"); types != "" {
		known := append(Names(), TypeDelta)
		r.types = map[string]bool{}
		for t := range strings.SplitSeq(types, ",") {
			t = strings.TrimSpace(t)
			if !slices.Contains(known, t) {
				return domain.E(domain.KindInvalid, "", "", "names no event type").
					WithField("query/types").WithCode("INVALID_REQUEST").WithDetails(map[string]any{"types": known})
			}
			r.types[t] = true
		}
	}
	r.connectionID = query("connection_id")
	execution, from, after := query("execution_id"), query("from"), query("after")
	if r.connectionID == "" && execution == "" {
		if from != "" || after != "" {
			return domain.E(domain.KindInvalid, "", "", "stands without connection_id or execution_id, which say what to go on with").
				WithField("query/" + map[bool]string{true: "from", false: "after"}[from != ""]).WithCode("INVALID_REQUEST")
		}
		r.connectionID = newConnectionID()
		return nil
	}
	b := []byte(`{"type":"resume"`)
	for _, f := range []struct{ key, value string }{{"connection_id", r.connectionID}, {"execution_id", execution}, {"after", after}} {
		if f.value != "" {
			b = rawjson.AppendString(append(rawjson.AppendString(append(b, ','), f.key), ':'), f.value)
		}
	}
	if from != "" {
		if strings.Trim(from, "0123456789") != "" {
			from = "-1" // refused as every other number that is no offset
		}
		b = append(append(b, `,"from":`...), strings.TrimLeft(from[:len(from)-1], "0")+from[len(from)-1:]...)
	}
	m, refusal := Parse(append(b, '}'))
	if refusal != nil {
		f := refusal.Faults[0]
		return domain.E(domain.KindInvalid, "", "", f.Message).WithField("query" + f.Field).WithCode("INVALID_REQUEST")
	}
	if r.connectionID == "" {
		r.connectionID = newConnectionID()
	}
	r.resume = &m
	return nil
}

// refusalOf is an error of a message's work as its client is told.
func refusalOf(err error) *Refusal {
	_, p := readapi.NewProblem(err)
	r := &Refusal{Code: p.Error.Code, Message: p.Message}
	if faults, ok := p.Detail.([]readapi.FieldFault); ok {
		for _, f := range faults {
			r.Faults = append(r.Faults, Fault{Field: f.Field, Message: f.Msg})
		}
	}
	return r
}

func overloaded(format string, args ...any) *Refusal {
	return &Refusal{Code: CodeOverloaded, Message: fmt.Sprintf(format, args...)}
}
