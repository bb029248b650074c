// Package kafka publishes to Kafka, through Watermill and Sarama.
package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill/message"

	"quipu/domain"
)

// Bounds and defaults of Options.
const (
	PartitionsDefault = 12
	PartitionsMax     = 10_000
	TimeoutDefault    = 5 * time.Second
	BrokersMax        = 64
	// messageBytesMax is the largest message: an append holds 900 KiB, and brokers take 1 MiB unless told
	// otherwise.
	messageBytesMax = 1 << 20
)

// Options of a Publisher. Brokers is required; otherwise the zero value means the defaults.
type Options struct {
	// Brokers are host:port pairs to begin with; the cluster's others are learned from them.
	Brokers []string
	// User and Password authenticate by SASL PLAIN, which sends them as they are: use TLS. Default none.
	User, Password string
	// TLS encrypts; CAFile holds the certificates that brokers' are checked against instead of the
	// system's, and implies TLS.
	TLS    bool
	CAFile string
	// Partitions is how many a topic gets that is not there yet. Default 12. Its replicas are as many as the
	// brokers' default says.
	Partitions int
	// Key says which messages of a topic keep their order: those with the same key are in one partition.
	// Required.
	Key func(m *message.Message) string
	// Timeout bounds each attempt to connect, and each request. Default 5 s.
	Timeout time.Duration
	// ClientID is what brokers call this client. Default "quipu".
	ClientID string
}

func (o Options) withDefaults() Options {
	if o.Partitions == 0 {
		o.Partitions = PartitionsDefault
	}
	if o.Timeout == 0 {
		o.Timeout = TimeoutDefault
	}
	if o.ClientID == "" {
		o.ClientID = "quipu"
	}
	return o
}

// Validate reports every option out of bounds. It does not read files.
func (o Options) Validate() error {
	o = o.withDefaults()
	errs := []error{CheckBrokers(o.Brokers)}
	if o.Partitions < 1 || o.Partitions > PartitionsMax {
		errs = append(errs, fmt.Errorf("the number of partitions is %d, 1..%d are allowed", o.Partitions, PartitionsMax))
	}
	if o.Timeout < time.Millisecond {
		errs = append(errs, fmt.Errorf("the timeout is %v, at least 1ms is needed", o.Timeout))
	}
	if o.Key == nil {
		errs = append(errs, errors.New("a key is needed"))
	}
	if (o.User == "") != (o.Password == "") {
		errs = append(errs, errors.New("user and password: both or none"))
	}
	return errors.Join(errs...)
}

// CheckBrokers reports why brokers names none, or one that cannot be.
func CheckBrokers(brokers []string) error {
	if len(brokers) == 0 || len(brokers) > BrokersMax {
		return fmt.Errorf("%d brokers are named, 1..%d are allowed", len(brokers), BrokersMax)
	}
	for _, b := range brokers {
		host, port, err := net.SplitHostPort(b)
		if n, bad := strconv.Atoi(port); err != nil || bad != nil || host == "" || n < 1 || n > 65535 {
			return fmt.Errorf("the broker %.80q is not host:port", b)
		}
	}
	return nil
}

// sarama makes the client's settings. A request is durable on all replicas in sync before it is acknowledged.
func (o Options) sarama() (*sarama.Config, error) {
	c := sarama.NewConfig()
	c.Version = sarama.V2_4_0_0 // the first that takes the brokers' own number of replicas
	c.ClientID = o.ClientID
	c.Net.DialTimeout, c.Net.ReadTimeout, c.Net.WriteTimeout = o.Timeout, o.Timeout, o.Timeout
	c.Metadata.Retry.Max, c.Metadata.Retry.Backoff = 1, 100*time.Millisecond // whoever publishes tries again
	c.Metadata.Timeout = o.Timeout
	c.Admin.Timeout, c.Admin.Retry.Max = o.Timeout, 1
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = true
	c.Producer.Timeout = o.Timeout
	c.Producer.Retry.Max, c.Producer.Retry.Backoff = 3, 100*time.Millisecond
	c.Producer.MaxMessageBytes = messageBytesMax
	if o.User != "" {
		c.Net.SASL.Enable, c.Net.SASL.User, c.Net.SASL.Password = true, o.User, o.Password
	}
	if o.TLS || o.CAFile != "" {
		c.Net.TLS.Enable = true
		c.Net.TLS.Config = &tls.Config{MinVersion: tls.VersionTLS12}
		if o.CAFile != "" {
			pem, err := os.ReadFile(o.CAFile)
			if err != nil {
				return nil, fmt.Errorf("read the brokers' certificates: %w", err)
			}
			pool := x509.NewCertPool()
			if !pool.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("%s holds no certificate", o.CAFile)
			}
			c.Net.TLS.Config.RootCAs = pool
		}
	}
	return c, c.Validate()
}

func invalid(err error) error {
	if err == nil {
		return nil
	}
	return domain.Wrap(domain.KindInvalid, "publish to Kafka", "", err)
}
