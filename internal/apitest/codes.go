package apitest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// again marks further examples of one code: STALE_2.
var again = regexp.MustCompile(`_[0-9]+$`)

// checkCode holds the code of a refusal against those that the operation documents for the status.
func checkCode(op *openapi3.Operation, status int, body []byte) error {
	response := op.Responses.Status(status)
	if status < 400 || response == nil || response.Value.Content.Get("application/json") == nil {
		return nil
	}
	var refusal struct {
		Error struct{ Code string }
	}
	if err := json.Unmarshal(body, &refusal); err != nil || refusal.Error.Code == "" {
		return nil //nolint:nilerr // an answer of another form, which its schema has judged
	}
	var known []string
	for name := range response.Value.Content.Get("application/json").Examples {
		if code := again.ReplaceAllString(name, ""); code == refusal.Error.Code || name == refusal.Error.Code {
			return nil
		}
		known = append(known, name)
	}
	return fmt.Errorf("the code %s is none of those documented with status %d: %s", refusal.Error.Code, status, strings.Join(known, ", "))
}
