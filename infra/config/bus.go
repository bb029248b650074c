package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// NATS holds the settings of the one connection to NATS, and of what uses it beside the relay.
type NATS struct {
	URL         Secret `name:"nats" default:"" help:"NATS servers, comma-separated: nats://user:password@host:4222 or tls://…; empty uses none. The server starts without them and connects when they answer."`
	Credentials string `name:"nats-credentials" default:"" unit:"file" help:"File with the user's JWT and key for nats."`
	CA          string `name:"nats-ca" default:"" unit:"file" help:"PEM file of the certificates that those of the NATS servers are checked against; empty takes the system's."`
	Cert        string `name:"nats-cert" default:"" unit:"file" help:"PEM file of this server's own certificate for nats; goes with nats-key."`
	Key         string `name:"nats-key" default:"" unit:"file" help:"PEM file of the key of nats-cert."`
	Deltas      string `name:"nats-deltas" default:"quipu" unit:"subject" help:"Subject below which nodes tell each other what models say while they say it; empty tells nothing, and readers get these words from the node alone where their run is worked on."`
	Intake      string `name:"intake-nats" default:"" unit:"letters, digits, - and _" help:"Name of the JetStream stream whose messages are carried out as commands; it is made if it is not there; what is refused goes to the stream of that name with -dead after it; empty takes none."`
	InFlight    int    `name:"intake-in-flight" default:"128" unit:"messages" min:"1" max:"4096" help:"Messages of intake-nats that are worked on at once; those of one run go one after the other."`
}

// Webhooks holds the settings of deliveries to URLs.
type Webhooks struct {
	File        string        `name:"webhooks" default:"" unit:"file" help:"JSON file of the URLs that events are posted to, with their secrets (docs/webhooks.md); read at the start; empty posts none."`
	AttemptsMax int           `name:"webhook-attempts-max" default:"15" unit:"attempts" min:"1" max:"100" help:"How often an event is posted before it is put on the webhook's poison list; 15 take about an hour."`
	Timeout     time.Duration `name:"webhook-timeout" default:"15s" unit:"duration" min:"100ms" max:"2m" help:"Time that a receiver has to answer."`
}

// checkBus reports what is wrong with the settings of NATS. No problem repeats a URL, which may hold a
// password.
func (c Config) checkBus() (ps Problems) {
	add := func(field, fault, fix string) { ps = append(ps, Problem{field, fault, fix}) }
	for i, text := range splitList(c.NATS.URL.Reveal()) {
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" || !strings.Contains(" nats tls ws wss ", " "+u.Scheme+" ") || u.Path != "" && u.Path != "/" {
			add("nats", fmt.Sprintf("entry %d is not the URL of a NATS server", i+1), "write it like nats://host:4222")
		}
	}
	if (c.NATS.Cert == "") != (c.NATS.Key == "") {
		add("nats_cert", "goes with nats_key", "set both or none")
	}
	if s := c.NATS.Deltas; len(s) > 64 || strings.Trim(s, natsNameCharacters+".") != "" || strings.HasPrefix(s, ".") || strings.HasSuffix(s, ".") || strings.Contains(s, "..") {
		add("nats_deltas", fmt.Sprintf("%.80q is not a subject", s), "write up to 64 letters, digits, - and _, in parts with dots between them, such as quipu")
	}
	if s := c.NATS.Intake; len(s) > 64 || strings.Trim(s, natsNameCharacters) != "" {
		add("intake_nats", fmt.Sprintf("%.80q cannot name a stream", s), "write up to 64 letters, digits, - and _, such as quipu-commands")
	} else if s != "" && c.NATS.URL == "" {
		add("intake_nats", "needs a NATS server", "set nats, such as nats://host:4222")
	}
	return ps
}

const natsNameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
