package config

import (
	"net"
	"regexp"
	"time"
)

// Kafka holds the way to Kafka.
type Kafka struct {
	Brokers  []string `name:"kafka" default:"" unit:"host:port, comma-separated" help:"Kafka brokers to begin with; further ones are learned from them; empty uses none."`
	User     string   `name:"kafka-user" default:"" unit:"name" help:"User at Kafka, by SASL PLAIN; use it with TLS only; empty for none."`
	Password Secret   `name:"kafka-password" default:"" help:"Password of kafka-user; give it by environment or file, since flags show in process lists."`
	TLS      bool     `name:"kafka-tls" default:"false" negatable:"" help:"Whether connections to Kafka are encrypted, brokers' certificates being checked against the system's."`
	CA       string   `name:"kafka-ca" default:"" unit:"file" help:"PEM file of the certificates that those of the brokers are checked against; it implies kafka-tls; empty takes the system's."`
}

// Relay holds the settings of handing recorded events on to other systems.
type Relay struct {
	NATS            bool          `name:"relay-nats" default:"false" negatable:"" help:"Whether recorded events are published to NATS JetStream, at the servers of nats; of several nodes one does it."`
	Kafka           bool          `name:"relay-kafka" default:"false" negatable:"" help:"Whether recorded events are published to Kafka, at the brokers of kafka; of several nodes one does it."`
	TopicPrefix     string        `name:"relay-topic-prefix" default:"quipu" unit:"name" help:"What names of streams and topics start with, then a hyphen and the kind: run, workflow, channel or name; 1 to 64 letters, digits, - and _."`
	InFlightMax     int           `name:"relay-in-flight-max" default:"256" unit:"events" min:"1" max:"16384" help:"Events that are sent to one target and not acknowledged yet; of each run one at a time."`
	NATSAgeMax      time.Duration `name:"relay-nats-age-max" default:"0s" unit:"duration" min:"0s" max:"87600h" help:"How long streams that the relay makes at NATS keep events; 0s for ever. Streams that exist keep their own settings."`
	NATSBytesMax    int           `name:"relay-nats-bytes-max" default:"0" unit:"bytes" min:"0" max:"1125899906842624" help:"Size of each stream that the relay makes at NATS, beyond which the oldest events go; 0 for no bound."`
	NATSReplicas    int           `name:"relay-nats-replicas" default:"1" unit:"servers" min:"1" max:"5" help:"Servers that each event is on, in streams that the relay makes at NATS; an event is published when most of them have it."`
	KafkaPartitions int           `name:"relay-kafka-partitions" default:"12" unit:"partitions" min:"1" max:"10000" help:"Partitions of topics that the relay makes at Kafka; topics that exist keep theirs."`
}

// topicPrefix is what suits both targets.
var topicPrefix = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}$`)

// checkRelay reports what is wrong with the way to Kafka, and with the relays.
func (c Config) checkRelay() Problems {
	var ps Problems
	add := func(field, fault, fix string) { ps = append(ps, Problem{field, fault, fix}) }
	if c.Relay.NATS && c.NATS.URL == "" {
		add("relay_nats", "is on without nats", "name the servers with nats, or turn it off")
	}
	for _, b := range c.Kafka.Brokers {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || !portOK(port, 1) {
			add("kafka", "does not name brokers", "write them as host:port, such as kafka-1:9092, several with commas")
			break
		}
	}
	if c.Relay.Kafka && len(c.Kafka.Brokers) == 0 {
		add("relay_kafka", "is on without kafka", "name the brokers with kafka, or turn it off")
	}
	if (c.Kafka.User == "") != (c.Kafka.Password == "") {
		add("kafka_user", "goes with kafka_password", "set both, or none")
	}
	if !topicPrefix.MatchString(c.Relay.TopicPrefix) {
		add("relay_topic_prefix", "cannot start the name of a stream or a topic", "write 1 to 64 letters, digits, - and _, such as quipu")
	}
	if age := c.Relay.NATSAgeMax; age > 0 && age < time.Second {
		add("relay_nats_age_max", "is shorter than a stream can keep events", "choose 1s or longer, or 0s for ever")
	}
	return ps
}
