package kurrentport

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"

	"quipu/domain"
)

// Bounds of a filter.
const (
	// FilterPrefixesMax is the most prefixes of one filter.
	FilterPrefixesMax = 256
	// FilterBytesMax is the most bytes of an expression: of all prefixes, or of the regex.
	FilterBytesMax = 8 << 10
	// windowDefault is the search window if a filter names none.
	windowDefault = 32
)

// filter selects events of $all by the name of their stream or their type.
type filter struct {
	byType   bool
	prefixes []string
	regex    *regexp.Regexp
	// every is after how many considered events a subscription sends a checkpoint.
	every uint64
}

// parseFilter reads a filter; nil means that there is none. Errors: a status INVALID_ARGUMENT.
func parseFilter(o *streams.ReadReq_Options) (*filter, error) {
	given := o.GetFilter()
	if given == nil {
		return nil, nil
	}
	bad := func(format string, args ...any) error {
		return refuse(codes.InvalidArgument, "filter: "+fmt.Sprintf(format, args...))
	}
	var f filter
	var expression *streams.ReadReq_Options_FilterOptions_Expression
	switch v := given.GetFilter().(type) {
	case *streams.ReadReq_Options_FilterOptions_StreamIdentifier:
		expression = v.StreamIdentifier
	case *streams.ReadReq_Options_FilterOptions_EventType:
		expression, f.byType = v.EventType, true
	default:
		return nil, bad("has to be on stream_identifier or on event_type")
	}
	bytes := len(expression.GetRegex())
	for _, p := range expression.GetPrefix() {
		bytes += len(p)
	}
	switch {
	case len(expression.GetPrefix()) == 0 && expression.GetRegex() == "":
		return nil, bad("has neither a prefix nor a regex")
	case len(expression.GetPrefix()) > 0 && expression.GetRegex() != "":
		return nil, bad("has both prefixes and a regex; send one of them")
	case len(expression.GetPrefix()) > FilterPrefixesMax:
		return nil, bad("has %d prefixes, at most %d are taken", len(expression.GetPrefix()), FilterPrefixesMax)
	case bytes > FilterBytesMax:
		return nil, bad("has %d bytes, at most %d are taken", bytes, FilterBytesMax)
	}
	f.prefixes = expression.GetPrefix()
	if expression.GetRegex() != "" {
		var err error
		if f.regex, err = regexp.Compile(expression.GetRegex()); err != nil {
			return nil, bad("regex: %v", err)
		}
	}
	window := uint64(windowDefault)
	if v, ok := given.GetWindow().(*streams.ReadReq_Options_FilterOptions_Max); ok {
		if window = uint64(v.Max); window == 0 {
			return nil, bad("the search window has to be at least 1")
		}
	}
	f.every = window * uint64(given.GetCheckpointIntervalMultiplier())
	if _, subscribes := o.GetCountOption().(*streams.ReadReq_Options_Subscription); subscribes && f.every == 0 {
		return nil, bad("the checkpoint interval multiplier has to be at least 1")
	}
	return &f, nil
}

// matches reports whether e passes; no filter passes everything.
func (f *filter) matches(e *domain.Recorded, n names) bool {
	if f == nil {
		return true
	}
	subject := e.Type
	if !f.byType {
		subject = n.wire(e.Stream)
	}
	if f.regex != nil {
		return f.regex.MatchString(subject)
	}
	for _, p := range f.prefixes {
		if strings.HasPrefix(subject, p) {
			return true
		}
	}
	return false
}

// logPrefix returns a prefix of the log's stream names that all that passes has, so that the log
// need not hand out the rest; "" if there is none.
func (f *filter) logPrefix(n names) string {
	if f == nil || f.byType || len(f.prefixes) != 1 {
		return ""
	}
	wire := f.prefixes[0]
	if own, ok := strings.CutPrefix(wire, n.prefix); ok {
		return own
	}
	if strings.HasPrefix(n.prefix, wire) {
		return "" // some of both
	}
	return domain.ExternalPrefix + wire
}
