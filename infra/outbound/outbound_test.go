package outbound_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"quipu/infra/outbound"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func client(t *testing.T, o outbound.Options) *http.Client {
	t.Helper()
	if o.DialTimeout == 0 {
		o.DialTimeout = 5 * time.Second
	}
	c, err := outbound.NewClient(o)
	require.NoError(t, err)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// serve starts a server on 127.0.0.1 that counts its requests.
func serve(t *testing.T, handler http.HandlerFunc) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var hits atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		if handler != nil {
			handler(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s, &hits
}

func get(t *testing.T, c *http.Client, address string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	require.NoError(t, err)
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

func requireBlocked(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	require.True(t, outbound.IsBlocked(err), "%v", err)
	var b interface{ Blocked() bool } // what commands/nodetypes looks for
	require.ErrorAs(t, err, &b)
	require.True(t, b.Blocked())
}

// A user's URL that reaches one of these reads the machine's own services or its cloud keys.
func TestClient_SpecialAddressesAreBlocked(t *testing.T) {
	s, hits := serve(t, nil)
	port := strings.TrimPrefix(s.URL, "http://127.0.0.1:")
	c := client(t, outbound.Options{})
	for _, host := range []string{
		"127.0.0.1", "127.8.9.1", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
		"169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1",
		"[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001::1]", "224.0.0.1", "255.255.255.255", "localhost",
	} {
		requireBlocked(t, get(t, c, "http://"+host+":"+port+"/"))
	}
	require.Zero(t, hits.Load())
}

// Whether the system's resolver reads such spellings as addresses differs; none may get through.
func TestClient_OddSpellingsDoNotGetThrough(t *testing.T) {
	s, hits := serve(t, nil)
	port := strings.TrimPrefix(s.URL, "http://127.0.0.1:")
	c := client(t, outbound.Options{Resolver: names(t, func(string) string { return "127.0.0.1" })})
	for _, host := range []string{"2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.0.1.", "LOCALHOST", "127%2e0.0.1"} {
		u := &url.URL{Scheme: "http", Host: host + ":" + port}
		resp, err := c.Do((&http.Request{Method: http.MethodGet, URL: u}).WithContext(t.Context()))
		if err == nil {
			_ = resp.Body.Close()
		}
		require.Error(t, err, host)
	}
	require.Zero(t, hits.Load())
}

func TestClient_NamesAreJudgedByTheirAddress(t *testing.T) {
	s, hits := serve(t, nil)
	port := strings.TrimPrefix(s.URL, "http://127.0.0.1:")
	// The second look-up gives another answer than the first, as in DNS rebinding: what counts
	// is the address that is dialled.
	var asked atomic.Int64
	rebinding := names(t, func(string) string {
		if asked.Add(1) == 1 {
			return "192.0.2.1"
		}
		return "127.0.0.1"
	})
	c := client(t, outbound.Options{Resolver: rebinding})
	requireBlocked(t, get(t, c, "http://rebind.example:"+port))
	requireBlocked(t, get(t, c, "http://rebind.example:"+port))
	require.Zero(t, hits.Load())
}

func TestClient_AllowList(t *testing.T) {
	s, hits := serve(t, nil)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	require.NoError(t, err)
	toLoopback := names(t, func(string) string { return "127.0.0.1" })
	for name, o := range map[string]outbound.Options{
		"loopback": {AllowLoopback: true},
		"network":  {Allow: []string{"10.0.0.0/8", "127.0.0.0/8"}},
		"address":  {Allow: []string{"127.0.0.1"}},
		"pair":     {Allow: []string{"127.0.0.1:" + port}},
	} {
		c := client(t, o)
		before := hits.Load()
		require.NoError(t, get(t, c, s.URL), name)
		require.NoError(t, get(t, c, "http://[::ffff:127.0.0.1]:"+port), name)
		require.Equal(t, before+2, hits.Load(), name)
		requireBlocked(t, get(t, c, "http://169.254.169.254/latest/meta-data"))
	}
	byName := client(t, outbound.Options{Allow: []string{"Model.Internal:" + port}, Resolver: toLoopback})
	require.NoError(t, get(t, byName, "http://model.internal:"+port))
	requireBlocked(t, get(t, byName, "http://other.internal:"+port))
	requireBlocked(t, get(t, byName, s.URL))
	pair := client(t, outbound.Options{Allow: []string{"127.0.0.1:" + port}, Resolver: toLoopback})
	require.NoError(t, get(t, pair, "http://any.internal:"+port))
	requireBlocked(t, get(t, pair, "http://127.0.0.1:1"))
	denied := client(t, outbound.Options{Deny: []string{"8.8.8.0/24", "2001:4860::/32"}})
	requireBlocked(t, get(t, denied, "http://8.8.8.8/"))
	requireBlocked(t, get(t, denied, "http://[2001:4860:4860::8888]/"))
}

// A public server must not be able to send us on to a private address.
func TestClient_RedirectToABlockedAddress(t *testing.T) {
	inner, hits := serve(t, nil)
	outer, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, inner.URL, http.StatusFound)
	})
	c := client(t, outbound.Options{Allow: []string{strings.TrimPrefix(outer.URL, "http://")}})
	requireBlocked(t, get(t, c, outer.URL))
	require.Zero(t, hits.Load())
}

func TestClient_RedirectsCarryNoSecretsToAnotherOrigin(t *testing.T) {
	var got []http.Header
	var bodies []string
	record := func(r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = append(got, r.Header.Clone())
		bodies = append(bodies, r.Method+" "+string(b))
	}
	var back string
	other, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		record(r)
		http.Redirect(w, r, back+"/home", http.StatusTemporaryRedirect)
	})
	origin, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		record(r)
		switch r.URL.Path {
		case "/same":
			http.Redirect(w, r, "/away", http.StatusPermanentRedirect)
		case "/away":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/home":
			http.Redirect(w, r, "/end", http.StatusFound)
		}
	})
	back = origin.URL
	c := client(t, outbound.Options{AllowLoopback: true})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, origin.URL+"/same?api_key=1", strings.NewReader("body"))
	require.NoError(t, err)
	for name, value := range map[string]string{
		"Authorization": "Bearer s", "X-Api-Key": "s", "Cookie": "a=s", "X-Acme-Token": "s",
		"Content-Type": "text/plain", "Idempotency-Key": "r/t/0", "Quipu-Attempt": "1",
	} {
		req.Header.Set(name, value)
	}
	resp, err := c.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, []string{"POST body", "POST body", "POST body", "POST body", "GET "}, bodies)
	for i, h := range got {
		for _, secret := range []string{"Authorization", "X-Api-Key", "Cookie", "X-Acme-Token"} {
			require.Equal(t, i < 2, h.Get(secret) != "", "request %d, %s", i, secret)
		}
		require.Equal(t, "r/t/0", h.Get("Idempotency-Key"))
		require.Empty(t, h.Get("Referer"))
	}
}

func TestClient_RedirectsEnd(t *testing.T) {
	s, hits := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) })
	c := client(t, outbound.Options{AllowLoopback: true})
	resp, err := c.Get(s.URL)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusFound, resp.StatusCode)
	require.EqualValues(t, 1+outbound.RedirectsMaxDefault, hits.Load())

	file, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "file:///etc/passwd")
		w.WriteHeader(302)
	})
	resp, err = c.Get(file.URL)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusFound, resp.StatusCode)
}

// A proxy would be dialled in place of the destination, so the guard would judge the wrong address.
func TestClient_IgnoresProxiesOfTheEnvironment(t *testing.T) {
	proxy, hits := serve(t, nil)
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	c := client(t, outbound.Options{Allow: []string{strings.TrimPrefix(proxy.URL, "http://")}})
	requireBlocked(t, get(t, c, "http://192.168.0.1/"))
	require.Zero(t, hits.Load())
}

func TestClient_HugeHeaderIsCut(t *testing.T) {
	s, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-Big", strings.Repeat("x", 1<<20)) })
	require.Error(t, get(t, client(t, outbound.Options{AllowLoopback: true}), s.URL))
}

func TestOptions_ValidateReportsEverything(t *testing.T) {
	_, err := outbound.NewClient(outbound.Options{
		Allow:       []string{"10.0.0.0/8", "10.0.0.0/40", "host", "host:0", "host:99999", "http://x:80", "fd00::/8"},
		Deny:        []string{"x", "1.2.3.4"},
		DialTimeout: -1, RedirectsMax: -1,
	})
	require.Error(t, err)
	for _, name := range []string{"Allow[1]", "Allow[2]", "Allow[3]", "Allow[4]", "Allow[5]", "Deny[0]", "DialTimeout", "RedirectsMax"} {
		require.ErrorContains(t, err, name)
	}
	require.NotContains(t, err.Error(), "Allow[0]")
	require.NotContains(t, err.Error(), "Allow[6]")
}

// names is a resolver backed by a name server of our own, which answers each question for an
// IPv4 address with what answer returns.
func names(t *testing.T, answer func(name string) string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := dnsReply(buf[:n], answer); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp4", conn.LocalAddr().String())
	}}
}

// dnsReply answers a query with one question (RFC 1035, section 4).
func dnsReply(query []byte, answer func(string) string) []byte {
	var labels []string
	i := 12
	for i < len(query) && query[i] != 0 {
		n := int(query[i])
		labels = append(labels, string(query[i+1:i+1+n]))
		i += 1 + n
	}
	if i+5 > len(query) {
		return nil
	}
	question := query[12 : i+5]
	reply := append([]byte{}, query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0)
	reply = append(reply, question...)
	if binary.BigEndian.Uint16(question[len(question)-4:]) == 1 { // type A
		reply[7] = 1
		reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		ip := netip.MustParseAddr(answer(strings.Join(labels, "."))).As4()
		reply = append(reply, ip[:]...)
	}
	return reply
}
