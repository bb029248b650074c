package cluster

import (
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Options of the database that nodes share. The zero value is the documented default.
type Options struct {
	// Schema holds the tables. Several installations can share a database with different ones. Default
	// "quipu_cluster"; lower-case letters, digits and _, at most 40.
	Schema string
	// DirectURL names the same database past any pooler, for notifications. Default: the URL of Open.
	DirectURL string
	// ConnectTimeout bounds each attempt to connect. Default 2 s.
	ConnectTimeout time.Duration
}

// PoolMax is the most connections that one purpose may have.
const PoolMax = 64

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

func (o Options) withDefaults(url string) Options {
	if o.Schema == "" {
		o.Schema = "quipu_cluster"
	}
	if o.DirectURL == "" {
		o.DirectURL = url
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = 2 * time.Second
	}
	return o
}

// Validate reports every field that is out of bounds, by name.
func (o Options) Validate() error {
	o = o.withDefaults("")
	var errs []error
	if !schemaName.MatchString(o.Schema) {
		errs = append(errs, fmt.Errorf("option Schema is %.60q: 1 to 40 lower-case letters, digits and _ are allowed, the first no digit", o.Schema))
	}
	if o.ConnectTimeout < 0 {
		errs = append(errs, fmt.Errorf("option ConnectTimeout is %v: must be positive", o.ConnectTimeout))
	}
	return errors.Join(errs...)
}
