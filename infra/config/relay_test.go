package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestValidate_Relay(t *testing.T) {
	for _, good := range []func(*Config){
		func(c *Config) { c.NATS.URL = "nats://a, tls://user:secret@b:4223"; c.Relay.NATS = true },
		func(c *Config) { c.Kafka.Brokers = []string{"a:9092", "[::1]:9092"}; c.Relay.Kafka = true },
		func(c *Config) { c.Kafka.User, c.Kafka.Password = "u", "p" },
	} {
		c := Default()
		good(&c)
		require.NoError(t, c.Validate())
	}
	for field, bad := range map[string]func(*Config){
		"relay_nats":         func(c *Config) { c.Relay.NATS = true },
		"kafka":              func(c *Config) { c.Kafka.Brokers = []string{"a"} },
		"relay_kafka":        func(c *Config) { c.Relay.Kafka = true },
		"kafka_user":         func(c *Config) { c.Kafka.Password = "secret" },
		"relay_nats_age_max": func(c *Config) { c.Relay.NATSAgeMax = 1 },
		"relay_topic_prefix": func(c *Config) { c.Relay.TopicPrefix = "a.b" },
	} {
		c := Default()
		bad(&c)
		err := c.Validate()
		var ps Problems
		require.ErrorAs(t, err, &ps, field)
		require.Len(t, ps, 1)
		require.Equal(t, field, ps[0].Field)
		require.NotEmpty(t, ps[0].Fix)
		require.NotContains(t, err.Error(), "secret")
	}
}
