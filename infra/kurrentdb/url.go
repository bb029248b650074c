package kurrentdb

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"quipu/domain"
)

const urlForm = "write it like esdb://user:password@host:2113?tls=true, with every character of user and password percent-encoded " +
	"that is no letter, digit, dash, dot or underscore"

// schemes are those that users write, with what the client knows them by.
var schemes = map[string]string{
	"esdb": "esdb", "esdb+discover": "esdb+discover", "kurrentdb": "esdb", "kurrentdb+discover": "esdb+discover",
}

// knownKeys are the settings that the client reads, in lower case. Others are for other clients.
var knownKeys = map[string]bool{
	"discoveryinterval": true, "gossiptimeout": true, "maxdiscoverattempts": true, "nodepreference": true, "keepaliveinterval": true,
	"keepalivetimeout": true, "tls": true, "tlscafile": true, "usercertfile": true, "userkeyfile": true, "tlsverifycert": true, "defaultdeadline": true,
}

// connection is a connection string, taken apart.
type connection struct {
	config esdb.Configuration
	hosts  string // without user and password, for log lines
	notes  []string
}

// parseURL reads a connection string. Errors: ErrInvalid; they never show the string, which may hold a
// password where none should be.
func parseURL(text string) (connection, error) {
	bad := func(fault string) (connection, error) {
		return connection{}, domain.E(domain.KindInvalid, "connect to the log", "", fault+"; "+urlForm).WithField("log")
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || schemes[scheme] == "" {
		return bad("is no connection string of KurrentDB: its scheme must be esdb, esdb+discover, kurrentdb or kurrentdb+discover")
	}
	authority, query, _ := strings.Cut(rest, "?")
	authority = strings.TrimSuffix(authority, "/")
	user, hosts := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		// A comma would be taken for one between hosts.
		user, hosts = strings.ReplaceAll(authority[:i], ",", "%2C")+"@", authority[i+1:]
	}
	switch {
	case hosts == "":
		return bad("names no host")
	case strings.ContainsAny(hosts, "/#?"):
		return bad("has a path or a fragment, or a password with a bare / or #")
	case strings.Contains(user, "://"):
		return bad("has two schemes")
	}
	c := connection{hosts: hosts}
	var settings []string
	for _, pair := range strings.Split(query, "&") {
		if key, _, _ := strings.Cut(pair, "="); knownKeys[strings.ToLower(key)] {
			settings = append(settings, pair)
		} else if key != "" {
			c.notes = append(c.notes, fmt.Sprintf("the setting %q is not known to this client and has no effect", key))
		}
	}
	config, err := esdb.ParseConnectionString(schemes[scheme] + "://" + user + hosts + "?" + strings.Join(settings, "&"))
	if err != nil {
		return bad(faultOf(err))
	}
	c.config = *config
	if len(config.GossipSeeds) > 0 && config.DnsDiscover {
		// With both, the client would look up an empty name.
		c.config.DnsDiscover = false
	}
	if err := config.Validate(); err != nil {
		return bad(err.Error())
	}
	if config.UserCertFile != "" {
		if _, err := tls.LoadX509KeyPair(config.UserCertFile, config.UserKeyFile); err != nil {
			return bad("userCertFile and userKeyFile cannot be used: " + err.Error())
		}
	}
	if config.DisableTLS && config.Username != "" {
		c.notes = append(c.notes, "user and password are not sent, since tls=false")
	}
	// A client that gives up is dead for good; ours never does, its callers do.
	c.config.MaxDiscoverAttempts = math.MaxInt
	return c, nil
}

// faultOf shows what the parser says about settings, never what it says about user, password and host.
func faultOf(err error) string {
	var file *os.PathError
	switch text := err.Error(); {
	case errors.As(err, &file):
		return "tlsCaFile cannot be read: " + file.Err.Error()
	case strings.HasPrefix(text, "Setting '"), strings.HasPrefix(text, "Invalid "), strings.HasPrefix(text, "failed to append certificate"):
		return strings.ToLower(text[:1]) + text[1:]
	case strings.Contains(text, "empty username"):
		return "has a password without a user"
	case strings.Contains(text, "empty host"):
		return "has an empty host between commas"
	case strings.Contains(text, "port"):
		return "has a port that is no number, or a bare : in user or password"
	}
	return "is no connection string of KurrentDB"
}
