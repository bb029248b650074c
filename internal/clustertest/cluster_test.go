package clustertest

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"quipu/infra/nats/natstest"
	"quipu/infra/postgres/pgtest"
	"quipu/internal/faultproxy"
	"quipu/internal/proctest"
)

// external is a KurrentDB to test with instead of a log server of our own: one node, esdb://host:port?…
var external = os.Getenv("QUIPU_TEST_KURRENTDB_URL")

// cluster is one log server, PostgreSQL, NATS and some nodes.
type cluster struct {
	t        testing.TB
	logData  string
	logAddr  string           // of the log's protocol
	prefix   string           // of the streams there
	log      *proctest.Server // nil if it is not ours
	postgres *pgtest.Server
	database string // its URL
	nats     *natstest.Server
	master   string // the file of the master key
	nodes    []*node
}

// node is one place of the cluster, at which one process after the other runs.
type node struct {
	c     *cluster
	name  string
	data  string
	fixed string // address of its own, kept over restarts; empty: any
	args  []string

	// The ways to it and from it.
	http, log, postgres, nats *faultproxy.Proxy

	mu     sync.Mutex
	server *proctest.Server
	starts int
}

func proxy(t testing.TB, target string) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.New(target)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// newCluster starts the parts and n nodes, and waits until these take requests.
func newCluster(t testing.TB, n int, args ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, logData: proctest.DataFolder(t), logAddr: freeAddr(t), prefix: "quipu."}
	if external != "" {
		at, err := url.Parse(external)
		require.NoError(t, err)
		c.logAddr, c.prefix = at.Host, "quipu-test-"+uuid.NewString()+"."
	}
	c.postgres = pgtest.Start(t, pgtest.Options{Settings: []string{"max_connections = 200"}})
	c.database = pgtest.Database(t, c.postgres)
	c.nats = natstest.Start(t)
	c.master = filepath.Join(t.TempDir(), "master.key")
	require.NoError(t, os.WriteFile(c.master, []byte(strings.Repeat("5a", 32)+"\n"), 0o600))
	c.startLog()
	for i := range n {
		c.add(fmt.Sprintf("n%d", i+1), args...)
	}
	for _, n := range c.nodes {
		n.start()
	}
	for _, n := range c.nodes {
		n.ready()
	}
	return c
}

// startLog starts the log server, at the address it had before.
func (c *cluster) startLog() {
	c.t.Helper()
	if external != "" {
		return
	}
	c.log = proctest.Start(c.t, proctest.Options{
		Command: []string{"log", "serve"}, Data: c.logData,
		Args: []string{"--kurrentdb-addr", c.logAddr},
	})
	c.log.Ready()
}

func (c *cluster) add(name string, args ...string) *node {
	c.t.Helper()
	natsURL, err := url.Parse(c.nats.URL())
	require.NoError(c.t, err)
	n := &node{
		c: c, name: name, data: proctest.DataFolder(c.t), args: args,
		http: proxy(c.t, "127.0.0.1:1"), log: proxy(c.t, c.logAddr), postgres: proxy(c.t, c.postgres.Addr()), nats: proxy(c.t, natsURL.Host),
	}
	c.nodes = append(c.nodes, n)
	return n
}

// start starts the node's next process, and lets clients through to it as soon as it takes requests.
func (n *node) start() *proctest.Server {
	n.c.t.Helper()
	database, err := url.Parse(n.c.database)
	require.NoError(n.c.t, err)
	database.Host = n.postgres.Addr()
	args := []string{
		"--log", n.c.logURL(n.log.Addr()), "--log-prefix", n.c.prefix,
		"--cluster", database.String(), "--views", database.String(),
		"--nats", "nats://" + n.nats.Addr(), "--node-name", n.name, "--master-key-file", n.c.master,
		"--lao-replay-window", "10m",
	}
	s := proctest.Start(n.c.t, proctest.Options{Data: n.data, Addr: n.fixed, Args: append(args, n.args...)})
	n.mu.Lock()
	n.server = s
	n.starts++
	output := filepath.Join(n.data, fmt.Sprintf("process-%d.log", n.starts))
	n.mu.Unlock()
	n.c.t.Cleanup(func() {
		if n.c.t.Failed() { // beside the data, which is kept then
			_ = os.WriteFile(output, []byte(s.Output()), 0o600)
		}
	})
	go func() {
		select {
		case <-s.WhenReady():
			n.http.SetTarget(s.Addr())
		case <-s.Exited():
		}
	}()
	return s
}

// logURL is the log as found at an address.
func (c *cluster) logURL(addr string) string {
	if external == "" {
		return "esdb://" + addr + "?tls=false"
	}
	at, err := url.Parse(external)
	require.NoError(c.t, err)
	at.Host = addr
	return at.String()
}

func (n *node) process() *proctest.Server {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.server
}

func (n *node) ready() time.Duration {
	n.c.t.Helper()
	took := n.process().Ready()
	n.http.SetTarget(n.process().Addr())
	return took
}

// revive waits until the node takes requests, starting it if its process has ended: one that finds neither log
// nor database at its start gives up.
func (n *node) revive() {
	n.c.t.Helper()
	select {
	case <-n.process().Exited():
		n.start()
	default:
	}
	n.ready()
}

// addr is where clients reach the node, whichever process it is.
func (n *node) addr() string { return n.http.Addr() }

// client reaches the node through its proxy.
func (n *node) client() *proctest.Client { return proctest.NewClient(n.addr) }

// oneConnection is a client that makes a new connection for each request.
func oneConnection(addr string) *proctest.Client {
	return proctest.NewClient(func() string { return addr }).OneConnectionEach()
}

// heal makes all networks good again.
func (c *cluster) heal() {
	for _, n := range c.nodes {
		for _, p := range n.links() {
			p.Heal()
		}
	}
}

func (n *node) links() []*faultproxy.Proxy {
	return []*faultproxy.Proxy{n.http, n.log, n.postgres, n.nats}
}

var linkNames = []string{"client-node", "node-log", "node-Postgres", "node-NATS"}

// stop ends the nodes in order, then the log server, and checks what it has stored.
func (c *cluster) stop() {
	c.t.Helper()
	for _, n := range c.nodes {
		n.process().Stop()
	}
	if c.log != nil {
		c.log.Stop()
	} else {
		code, out := proctest.Run(c.t, "log", "copy", "--from", external, "--from-log-prefix", c.prefix, "--to", c.logData)
		require.Zero(c.t, code, out)
	}
	code, out := proctest.Run(c.t, "log", "verify", "--data", c.logData)
	require.Zero(c.t, code, out)
}
