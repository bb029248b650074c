package kurrentport_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"quipu/infra/kurrentport"
)

// certificate makes one for 127.0.0.1 that is its own authority, and the file that clients trust.
func certificate(t *testing.T) (*tls.Config, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "port"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}, file
}

// Over TLS a caller may do what its credential says, and without one nothing.
func TestTLS_Credentials(t *testing.T) {
	config, ca := certificate(t)
	secure := func(o *kurrentport.Options) {
		o.TLS, o.Credentials = config, kurrentport.Credentials{Node: "node:n-password", Read: "reader:r-password"}
	}
	p := start(t, secure)
	as := func(user string) *esdb.Client {
		return official(t, fmt.Sprintf("esdb://%s%s?tlsCaFile=%s", user, p.Addr(), ca))
	}
	write := func(c *esdb.Client, stream string) error {
		_, err := c.AppendToStream(deadline(t), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, event("made", "a"))
		return err
	}
	read := func(c *esdb.Client) error {
		s, err := c.ReadAll(deadline(t), esdb.ReadAllOptions{From: esdb.Start{}}, 10)
		_, err = drain(t, s, err)
		return err
	}
	node, reader := as("node:n-password@"), as("reader:r-password@")
	require.NoError(t, write(node, "quipu.run-1"))
	require.NoError(t, write(node, "orders-1"))
	require.NoError(t, write(reader, "orders-1"))
	require.Equal(t, esdb.ErrorCodeAccessDenied, code(t, write(reader, "quipu.run-1")))
	require.NoError(t, read(node))
	require.NoError(t, read(reader))
	for _, user := range []string{"", "node:r-password@", "reader:n-password@", "node:@"} {
		stranger := as(user)
		require.Equal(t, esdb.ErrorCodeUnauthenticated, code(t, write(stranger, "orders-1")), user)
		require.Equal(t, esdb.ErrorCodeUnauthenticated, code(t, read(stranger)), user)
	}
	served := start(t, secure, func(o *kurrentport.Options) { o.OwnWritable = false })
	c := official(t, fmt.Sprintf("esdb://node:n-password@%s?tlsCaFile=%s", served.Addr(), ca))
	require.Equal(t, esdb.ErrorCodeAccessDenied, code(t, write(c, "quipu.run-1")), "read-only beside an executor, to nodes too")
	discovering := official(t, fmt.Sprintf("esdb+discover://node:n-password@%s?tlsCaFile=%s", p.Addr(), ca))
	require.NoError(t, read(discovering))
}

// A plain client of a port with TLS, and headers that are no credential, get nowhere.
func TestTLS_WithoutIt(t *testing.T) {
	config, _ := certificate(t)
	p := start(t, func(o *kurrentport.Options) { o.TLS, o.Credentials.Node = config, "node:password" })
	_, err := single(raw(t, p))(deadline(t), "orders-1", noStream{}, uuid.New())
	require.Equal(t, codes.Unavailable, status.Code(err))
	pool := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
	require.NoError(t, err)
	pool.AddCert(leaf)
	for _, header := range []string{"", "Basic", "Basic !!", "Bearer bm9kZTpwYXNzd29yZA==", "Basic bm9kZQ=="} {
		conn, err := grpc.NewClient(p.Addr(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool})),
			grpc.WithPerRPCCredentials(authorization(header)))
		require.NoError(t, err)
		_, err = single(streams.NewStreamsClient(conn))(deadline(t), "orders-1", noStream{}, uuid.New())
		require.Equal(t, codes.Unauthenticated, status.Code(err), "%q: %v", header, err)
		_, err = batched(streams.NewStreamsClient(conn))(deadline(t), "orders-1", noStream{}, uuid.New())
		require.Equal(t, codes.Unauthenticated, status.Code(err), "%q", header)
		_, err = streams.NewStreamsClient(conn).Delete(deadline(t), &streams.DeleteReq{})
		require.Equal(t, codes.Unauthenticated, status.Code(err), "%q", header)
		require.NoError(t, conn.Close())
	}
}

type authorization string

func (a authorization) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": string(a)}, nil
}
func (a authorization) RequireTransportSecurity() bool { return true }

func TestNew_RefusesBadOptions(t *testing.T) {
	config, _ := certificate(t)
	for name, o := range map[string]kurrentport.Options{
		"Prefix":           {Prefix: "$x"},
		"AppendBytesMax":   {AppendBytesMax: 1},
		"StreamsMax":       {StreamsMax: -1},
		"Credentials.Node": {Credentials: kurrentport.Credentials{Node: "no password"}},
		"Credentials":      {TLS: config},
	} {
		_, err := kurrentport.New(openLog(t, t.TempDir()), o)
		require.ErrorContains(t, err, name)
	}
}

// Clients ask what the server can do, and which nodes there are, before they do anything else.
func TestFeaturesAndGossip(t *testing.T) {
	p := start(t)
	conn := dial(t, p)
	features, err := serverfeatures.NewServerFeaturesClient(conn).GetSupportedMethods(deadline(t), &shared.Empty{})
	require.NoError(t, err)
	parts := strings.Split(features.GetEventStoreServerVersion(), ".")
	require.Len(t, parts, 3)
	for _, part := range parts {
		require.Regexp(t, `^[0-9]+$`, part, "a client refuses a version that is not three whole numbers")
	}
	members, err := gossip.NewGossipClient(conn).Read(deadline(t), &shared.Empty{})
	require.NoError(t, err)
	require.Len(t, members.GetMembers(), 1)
	m := members.GetMembers()[0]
	require.Equal(t, gossip.MemberInfo_Leader, m.GetState())
	require.True(t, m.GetIsAlive())
	require.Equal(t, p.Addr(), fmt.Sprintf("%s:%d", m.GetHttpEndPoint().GetAddress(), m.GetHttpEndPoint().GetPort()))

	c := official(t, p.DiscoverURL())
	_, err = c.AppendToStream(deadline(t), "orders-1", esdb.AppendToStreamOptions{}, event("made", "a"))
	require.NoError(t, err)
	version, err := c.GetServerVersion()
	require.NoError(t, err)
	require.Equal(t, kurrentport.VersionDefault, fmt.Sprintf("%d.%d.%d", version.Major, version.Minor, version.Patch))
}

// With as many calls open as a connection may have, the next one waits for one of them to end.
func TestConnection_StreamsMax(t *testing.T) {
	const max = 100
	p := start(t)
	c := raw(t, p)
	do := single(c)
	_, err := do(deadline(t), "orders-1", noStream{}, uuid.New())
	require.NoError(t, err)
	var cancels []context.CancelFunc
	for range max {
		ctx, cancel := context.WithCancel(deadline(t))
		defer cancel()
		cancels = append(cancels, cancel)
		call, err := c.Read(ctx, subscribeAll())
		require.NoError(t, err)
		_, err = call.Recv()
		require.NoError(t, err)
	}
	short, cancel := context.WithTimeout(deadline(t), 200*time.Millisecond)
	defer cancel()
	_, err = do(short, "orders-1", anyRevision{}, uuid.New())
	require.Equal(t, codes.DeadlineExceeded, status.Code(err), "the wall of %d", max)
	_, err = single(raw(t, p))(deadline(t), "orders-1", anyRevision{}, uuid.New())
	require.NoError(t, err, "another connection has calls of its own")
	cancels[0]()
	_, err = do(deadline(t), "orders-1", anyRevision{}, uuid.New())
	require.NoError(t, err, "one has ended, so that there is room")
}

func subscribeAll() *streams.ReadReq {
	return &streams.ReadReq{Options: &streams.ReadReq_Options{
		StreamOption: &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: &shared.Empty{}}}},
		CountOption:  &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}},
		UuidOption:   &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_String_{String_: &shared.Empty{}}},
	}}
}

// A client that pings a connection without calls no faster than it may is not cut off, and one that
// does is. With the framework's own policy the official client, which pings every 10 s, would be.
func TestConnection_Pings(t *testing.T) {
	require.LessOrEqual(t, kurrentport.PingMinDefault, 10*time.Second)
	const least = 40 * time.Millisecond
	p := start(t, func(o *kurrentport.Options) { o.PingMin = least })
	for name, c := range map[string]struct {
		every time.Duration
		cut   bool
	}{"as often as it may": {least + least/2, false}, "too often": {least / 40, true}} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", p.Addr())
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(testTimeout)))
			_, err = conn.Write([]byte(http2.ClientPreface))
			require.NoError(t, err)
			framer := http2.NewFramer(conn, conn)
			require.NoError(t, framer.WriteSettings())
			go func() {
				ticks := time.NewTicker(c.every)
				defer ticks.Stop()
				for range 12 {
					<-ticks.C
					if framer.WritePing(false, [8]byte{1}) != nil {
						return
					}
				}
			}()
			answered := 0
			for answered < 12 {
				f, err := framer.ReadFrame()
				require.NoError(t, err)
				switch f := f.(type) {
				case *http2.GoAwayFrame:
					require.True(t, c.cut, "cut off after %d pings", answered)
					require.Equal(t, http2.ErrCodeEnhanceYourCalm, f.ErrCode)
					return
				case *http2.PingFrame:
					answered++
				}
			}
			require.False(t, c.cut)
		})
	}
}

// Stopping ends subscriptions with UNAVAILABLE, lets appends in progress finish, and the client finds
// the server again at the same address.
func TestShutdown_EndsInOrder(t *testing.T) {
	p := start(t)
	c := raw(t, p)
	subscription, err := c.Read(deadline(t), subscribeAll())
	require.NoError(t, err)
	_, err = subscription.Recv()
	require.NoError(t, err)
	batch, err := c.BatchAppend(deadline(t))
	require.NoError(t, err)
	append1, err := c.Append(deadline(t))
	require.NoError(t, err)
	require.NoError(t, append1.Send(options("orders-1", true)))
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		p.Stop()
	}()
	for {
		if _, err = subscription.Recv(); err != nil {
			break
		}
	}
	require.Equal(t, codes.Unavailable, status.Code(err))
	_, err = batch.Recv()
	require.Equal(t, codes.Unavailable, status.Code(err))
	id := uuid.New()
	require.NoError(t, append1.Send(&streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
		Id: stringID(id), Metadata: metadataOf(),
	}}}))
	resp, err := append1.CloseAndRecv()
	require.NoError(t, err, "an append that had begun is answered")
	require.NotNil(t, resp.GetSuccess())
	<-stopped
	p.Restart()
	got, err := single(c)(deadline(t), "orders-1", 0, uuid.New())
	if status.Code(err) == codes.Unavailable { // the client may still hold the old connection
		got, err = single(raw(t, p))(deadline(t), "orders-1", 0, uuid.New())
	}
	require.NoError(t, err)
	require.Equal(t, "1@2", got)
}

// A stop that takes too long cuts off what is left.
func TestShutdown_CutsOffWhatStays(t *testing.T) {
	p := start(t)
	call, err := raw(t, p).Append(deadline(t))
	require.NoError(t, err)
	require.NoError(t, call.Send(options("orders-1", true)))
	gone, cancel := context.WithTimeout(deadline(t), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, p.Server().Shutdown(gone), context.DeadlineExceeded)
	_, err = call.CloseAndRecv()
	require.Equal(t, codes.Unavailable, status.Code(err))
}

// porttest itself: a port comes back at the same address, over another log too.
func TestPort_RestartsAtItsAddress(t *testing.T) {
	p := start(t)
	addr := p.Addr()
	_, err := single(raw(t, p))(deadline(t), "orders-1", noStream{}, uuid.New())
	require.NoError(t, err)
	p.Kill()
	_, err = single(raw(t, p))(deadline(t), "orders-1", noStream{}, uuid.New())
	require.Equal(t, codes.Unavailable, status.Code(err))
	p.Use(openLog(t, t.TempDir()))
	p.Restart()
	require.Equal(t, addr, p.Addr())
	got, err := single(raw(t, p))(deadline(t), "orders-1", noStream{}, uuid.New())
	require.NoError(t, err)
	require.Equal(t, "0@1", got)
}
