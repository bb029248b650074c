package readapi

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"quipu/domain"
	"quipu/domain/name"
	"quipu/domain/rawjson"
	"quipu/readapi/lao"
)

// request is what a LAO socket was asked for. All strings are copies: the socket outlives the
// request's buffers.
type request struct {
	flow, run   string
	cursor      cursorKind
	offset      domain.Revision // first wanted, for cursorFrom
	executionID string          // "" for the newest of the name
	types       []string        // event types wanted; nil for all
	node        string          // task name wanted; "" for all
	fresh       bool            // no replay, whatever the age: the loop-breaker's token was used up
	token       string          // the loop-breaker's cookie
}

type cursorKind uint8

const (
	cursorNone   cursorKind = iota // contract D3's rule
	cursorFrom                     // from request.offset
	cursorLatest                   // after the newest event
)

// executionIDBytesMax bounds execution_id; ours are UUIDs.
const executionIDBytesMax = 128

// parseRequest checks path parameters (still percent-encoded) and query. All faults are reported
// together. Errors: ErrInvalid naming path/… or query/…; ErrConflict LOG_CHANGED.
func parseRequest(flow, run string, query func(key string) string, log domain.LogID) (*request, error) {
	r := &request{}
	var faults faultList
	var err error
	if r.flow, err = url.PathUnescape(flow); err != nil {
		faults.add("path/flow_name", "is not valid percent-encoding")
	}
	if r.run, err = url.PathUnescape(run); err != nil {
		faults.add("path/run_name", "is not valid percent-encoding")
	}
	if len(faults) == 0 {
		faults.names(r.flow, r.run)
	}
	r.parseCursor(query, &faults)
	r.parseFilter(query, &faults)
	if id := query("execution_id"); id != "" {
		r.executionID = strings.TrimPrefix(strings.Clone(id), "exec_")
		if domain.StreamID(runStreamPrefix+r.executionID).Check() != nil || len(r.executionID) > executionIDBytesMax || r.executionID == "" {
			faults.add("query/execution_id", "is not an execution id")
		}
	}
	if err := faults.error(); err != nil {
		return nil, err
	}
	if want := query("log"); want != "" && want != string(log) {
		return nil, domain.E(domain.KindConflict, "", "", "the log is another than the one the cursor belongs to; begin anew without a cursor").
			WithCode("LOG_CHANGED").WithDetails(map[string]any{"log": string(log)}).WithField("query/log")
	}
	return r, nil
}

func (r *request) parseCursor(query func(string) string, faults *faultList) {
	given := 0
	for _, key := range []string{"from", "offset", "after"} {
		value := query(key)
		if value == "" {
			continue
		}
		if given++; given > 1 {
			faults.add("query/"+key, "only one of from, offset and after may be given")
			continue
		}
		if key != "after" && value == "latest" {
			r.cursor = cursorLatest
			continue
		}
		number, part, hasPart := strings.Cut(value, ":")
		n, err := strconv.ParseInt(number, 10, 64)
		bad := err != nil || n < 0 || n >= 1<<53
		if key == "after" {
			bad = err != nil || n < -1 || n >= 1<<53
			if hasPart {
				// Each event is one frame here, so any part of it is the whole.
				p, err := strconv.ParseInt(part, 10, 64)
				bad = bad || err != nil || p < 1
			}
			n++
		} else {
			bad = bad || hasPart
		}
		if bad {
			faults.add("query/"+key, fmt.Sprintf("%q is not an offset: write a whole number from 0%s", rawjson.Clip(value), map[bool]string{
				true: " (or -1), or <offset>:<part>", false: ", or latest",
			}[key == "after"]))
			continue
		}
		r.cursor, r.offset = cursorFrom, domain.Revision(n)
	}
}

func (r *request) parseFilter(query func(string) string, faults *faultList) {
	r.node = strings.Clone(query("node_id"))
	types := query("types")
	if types == "" {
		return
	}
	known := append(lao.Names(), lao.DeltaType)
	for _, t := range strings.Split(types, ",") {
		t = strings.TrimSpace(t)
		if !slices.Contains(known, t) {
			*faults = append(*faults, domain.E(domain.KindInvalid, "", "", fmt.Sprintf("%q is not an event type", rawjson.Clip(t))).
				WithField("query/types").WithCode("INVALID_REQUEST").WithDetails(map[string]any{"types": known}))
			return
		}
		r.types = append(r.types, strings.Clone(t))
	}
}

// wants reports whether a frame of type typ about task may be sent; task is "" for events of the
// run itself, which a node filter leaves out.
func (r *request) wantsType(typ string) bool {
	return r.types == nil || slices.Contains(r.types, typ)
}

func (r *request) wantsTask(task string) bool { return r.node == "" || r.node == task }

// faultList collects what is wrong with a request.
type faultList []error

func (f *faultList) add(field, message string) {
	*f = append(*f, domain.E(domain.KindInvalid, "", "", message).WithField(field).WithCode("INVALID_REQUEST"))
}

func (f *faultList) names(flow, run string) {
	if err := name.Check(flow, run); err != nil {
		var e *domain.Error
		if asError(err, &e) {
			// Here the name is an address, not content: 400 rather than 422.
			c := *e
			c.Kind, c.Field = domain.KindInvalid, "path/"+e.Field
			*f = append(*f, &c)
		}
	}
}

func (f faultList) error() error {
	if len(f) == 0 {
		return nil
	}
	return joined(f)
}
