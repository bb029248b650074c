package feeds

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/readapi/orchestrator"
	"quipu/readapi/params"
)

// query is what a socket was asked for beside its subject.
type query struct {
	latest      bool            // from now on
	after       domain.Position // exclusive
	executionID string
	types       []string // stored types wanted; nil for all
	node        string   // node wanted; "" for all
}

// parseQuery checks the parameters. All faults are reported together.
// Errors: ErrInvalid naming query/…; ErrConflict LOG_CHANGED.
func parseQuery(get func(key string) string, log domain.LogID) (query, error) {
	q := query{latest: true}
	var faults []error
	changed := false
	for _, key := range []string{"from", "after"} {
		value := get(key)
		if value == "" {
			continue
		}
		if !q.latest || key == "after" && get("from") != "" {
			faults = append(faults, fault("query/"+key, "only one of from and after may be given"))
			continue
		}
		switch {
		case value == "latest" && key == "from":
		case value == "0":
			q.latest = false // from the log's beginning
		default:
			of, at, err := domain.ParseCursor(value)
			if err != nil {
				faults = append(faults, fault("query/"+key, fmt.Sprintf("%q is no position: write one as frames have it, <log id>-<16 hex digits>, or 0 for the beginning%s",
					rawjson.Clip(value), map[string]string{"from": ", or latest"}[key])))
				continue
			}
			q.latest, changed = false, changed || of != log
			if key == "from" && at > 0 {
				at-- // inclusive
			}
			q.after = at
		}
	}
	for _, t := range strings.Split(get("types"), ",") {
		if t = strings.TrimSpace(t); t == "" {
			continue
		}
		stored := orchestrator.StoredTypes(t)
		if t == deltaType {
			stored = []string{t}
		}
		if len(stored) == 0 || len(t) > params.TextBytesMax {
			faults = append(faults, domain.E(domain.KindInvalid, "", "", fmt.Sprintf("%q is not an event type", rawjson.Clip(t))).
				WithField("query/types").WithCode("INVALID_REQUEST").WithDetails(map[string]any{"types": orchestrator.Names()}))
			break
		}
		q.types = append(q.types, stored...)
	}
	if q.node = get("node_id"); len(q.node) > params.TextBytesMax {
		faults = append(faults, fault("query/node_id", fmt.Sprintf("has %d bytes, at most %d are allowed", len(q.node), params.TextBytesMax)))
	}
	if id := get("execution_id"); id != "" {
		q.executionID = strings.TrimPrefix(id, "exec_")
		if q.executionID == "" || domain.StreamID(runStreamPrefix+q.executionID).Check() != nil {
			faults = append(faults, fault("query/execution_id", "is not an execution id"))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return query{}, err
	}
	if want := get("log"); changed || want != "" && want != string(log) {
		return query{}, domain.E(domain.KindConflict, "", "", "the log is another than the one the cursor belongs to; begin anew without a cursor").
			WithCode("LOG_CHANGED").WithDetails(map[string]any{"log": string(log)}).WithField("query/log")
	}
	return q, nil
}

func (q *query) wants(typ, node string) bool {
	return (q.types == nil || slices.Contains(q.types, typ)) && (q.node == "" || q.node == node)
}
