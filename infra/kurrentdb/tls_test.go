package kurrentdb_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/commands/logtest"
	"quipu/domain"
	"quipu/infra/kurrentdb"
	"quipu/infra/kurrentport"
	"quipu/infra/kurrentport/porttest"
	"quipu/infra/memory"
)

// certificate makes one for this machine and a file that says whom to trust.
func certificate(t *testing.T) (pair tls.Certificate, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	file = filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestLog_TLSAndCredentials(t *testing.T) {
	t.Parallel()
	pair, trust := certificate(t)
	const password = "p@ss,w/rd:0123456789" // percent-encoded below
	port := porttest.Start(t, memory.NewLog(), func(o *kurrentport.Options) {
		o.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		o.Credentials = kurrentport.Credentials{Node: "node:" + password, Read: "reader:" + password}
	})
	const encoded = "p%40ss%2Cw%2Frd%3A0123456789"
	url := func(user, scheme, rest string) string { return scheme + "://" + user + "@" + port.Addr() + rest }
	for _, scheme := range []string{"esdb", "kurrentdb", "esdb+discover"} {
		if scheme == "esdb+discover" {
			continue // needs a name that the port gives itself; without TLS below
		}
		log := open(t, options(url("node:"+encoded, scheme, "?tlsCaFile="+trust)))
		_, err := log.Append(t.Context(), domain.StreamID("run-"+scheme), domain.NoStream, logtest.Events(1))
		require.NoError(t, err)
	}
	refused := func(url string) error {
		o := options(url)
		o.OpenTimeout = 3 * time.Second
		_, err := kurrentdb.Open(t.Context(), o)
		require.ErrorIs(t, err, domain.ErrUnavailable)
		require.NotContains(t, err.Error(), "0123456789")
		return err
	}
	require.ErrorContains(t, refused(url("node:0123456789wrong", "esdb", "?tlsCaFile="+trust)), "user and password")
	require.ErrorContains(t, refused(url("node:"+encoded, "esdb", "")), "certificate")
	require.ErrorContains(t, refused(url("node:"+encoded, "esdb", "")), "tlsCaFile")
	refused(url("node:"+encoded, "esdb", "?tls=false"))
	bare := porttest.Start(t, memory.NewLog())
	require.ErrorContains(t, refused("esdb://"+bare.Addr()), "tls=false")
	// Who may only read opens the log, and is told when it writes.
	reader := open(t, options(url("reader:"+encoded, "esdb", "?tlsCaFile="+trust)))
	_, err := reader.Append(t.Context(), "run-x", domain.NoStream, logtest.Events(1))
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.ErrorContains(t, err, "may not do this")
}

// Several hosts, and a name to be looked up: the server is found by gossip.
func TestLog_FoundByGossip(t *testing.T) {
	t.Parallel()
	port := porttest.Start(t, memory.NewLog())
	first := open(t, options(port.DiscoverURL()))
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	gone := dead.Addr().String()
	require.NoError(t, dead.Close())
	for _, url := range []string{
		"kurrentdb+discover://" + port.Addr() + "?tls=false",
		"esdb://" + gone + "," + port.Addr() + "?tls=false",
		"esdb+discover://" + gone + "," + port.Addr() + "?tls=false&nodePreference=follower",
	} {
		require.Equal(t, first.ID(), open(t, options(url)).ID(), url)
	}
}

// A server that comes back with another log is not worked on: its positions mean nothing here.
func TestLog_AnotherLogIsNotTakenForThisOne(t *testing.T) {
	t.Parallel()
	mine, other := memory.NewLog(), memory.NewLog()
	port := porttest.Start(t, mine)
	o := options(port.URL())
	o.ConnectWait = 200 * time.Millisecond
	log := open(t, o)
	_, err := log.Append(t.Context(), "run-1", domain.NoStream, logtest.Events(1))
	require.NoError(t, err)
	_, err = log.Subscribe(t.Context(), 0, "") // a process has one at all times
	require.NoError(t, err)
	port.Kill()
	port.Use(other)
	port.Restart()
	eventually(t, func() bool {
		_, err = log.Head(t.Context())
		return err != nil && strings.Contains(err.Error(), "no longer holds the log "+string(log.ID()))
	})
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, err = log.Append(t.Context(), "run-2", domain.NoStream, logtest.Events(1))
	require.ErrorIs(t, err, domain.ErrUnavailable)
	_, err = log.ReadStream(t.Context(), "run-1", 0, 1)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	head, err := other.Head(t.Context())
	require.NoError(t, err)
	require.Zero(t, head, "nothing was written to it")
	port.Kill()
	port.Use(mine)
	port.Restart()
	eventually(t, func() bool {
		page, err := log.ReadStream(t.Context(), "run-1", 0, 1)
		return err == nil && len(page) == 1
	})
}
