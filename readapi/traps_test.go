package readapi_test

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	fastws "github.com/fasthttp/websocket"
	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/readapi"
)

// bare is a server with one dialect whose sessions the test makes.
type bare struct {
	t       *testing.T
	sockets *readapi.Sockets
	clock   *virtualClock
	addr    string
	closed  chan int
	panics  chan any
}

func newBare(t *testing.T, options readapi.SocketOptions, admit func(*fiber.Ctx) (*readapi.Upgrade, error)) *bare {
	b := &bare{t: t, clock: newVirtualClock(), closed: make(chan int, 1000), panics: make(chan any, 1000)}
	options.Random = func() float64 { return 0 }
	options.Hooks.Closed = func(_ string, code int) { b.closed <- code }
	options.Hooks.Panicked = func(v any, _ []byte) { b.panics <- v }
	b.sockets = readapi.NewSockets(b.clock, options)
	app := fiber.New(fiber.Config{DisableStartupMessage: true, ErrorHandler: readapi.ErrorHandler, ReadTimeout: 200 * time.Millisecond})
	b.sockets.Handle(app, "/ws", "test", admit)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b.addr = listener.Addr().String()
	served := make(chan error, 1)
	go func() { served <- app.Listener(listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = b.sockets.Shutdown(ctx) // cut off
		require.NoError(t, app.ShutdownWithTimeout(60*time.Second))
		require.NoError(t, <-served)
	})
	return b
}

// opening admits everyone and gives each the session that make makes.
func opening(make func(h readapi.Handle) *script) func(*fiber.Ctx) (*readapi.Upgrade, error) {
	return func(*fiber.Ctx) (*readapi.Upgrade, error) {
		return &readapi.Upgrade{Open: func(h readapi.Handle, _ time.Time) readapi.Session { return make(h) }}, nil
	}
}

func (b *bare) dial(d fastws.Dialer) (*client, *http.Response) {
	b.t.Helper()
	conn, resp, err := d.Dial("ws://"+b.addr+"/ws", nil)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = conn.Close() })
	return &client{t: b.t, conn: conn}, resp
}

// script is a session of functions; those that are nil do nothing.
type script struct {
	poll    func(ctx context.Context, dst []byte) ([]byte, bool)
	message func(text []byte)
	limited func()
	closed  func(code int, delivered bool)
}

func (s *script) Poll(ctx context.Context, _ time.Time, dst []byte) ([]byte, bool, error) {
	if s.poll == nil {
		return dst, false, nil
	}
	dst, more := s.poll(ctx, dst)
	return dst, more, nil
}
func (s *script) Due(time.Time) time.Time      { return time.Time{} }
func (s *script) IdleSince() (time.Time, bool) { return time.Time{}, false }
func (s *script) Cursor() string               { return "" }
func (s *script) Message(_ context.Context, _ time.Time, text []byte) {
	if s.message != nil {
		s.message(text)
	}
}

func (s *script) Limited(time.Time) {
	if s.limited != nil {
		s.limited()
	}
}

func (s *script) Closed(code int, delivered bool) {
	if s.closed != nil {
		s.closed(code, delivered)
	}
}

// echo answers each message with itself.
func echo(h readapi.Handle) *script {
	var mu sync.Mutex
	var waiting [][]byte
	return &script{
		message: func(text []byte) {
			mu.Lock()
			waiting = append(waiting, bytes.Clone(text))
			mu.Unlock()
			h.Wake()
		},
		poll: func(_ context.Context, dst []byte) ([]byte, bool) {
			mu.Lock()
			defer mu.Unlock()
			for _, text := range waiting {
				dst = readapi.AppendText(dst, text)
			}
			waiting = nil
			return dst, false
		},
	}
}

// Trap 1: connections are pooled. A writer that is still at work holds its handler, however the client
// left; only then is the session told and the place given back.
func TestSocketTrap01_WriterIsJoinedBeforeItsHandlerReturns(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var polling atomic.Bool
	ended := make(chan bool, 1)
	b := newBare(t, readapi.SocketOptions{}, opening(func(readapi.Handle) *script {
		var once sync.Once
		return &script{
			poll: func(_ context.Context, dst []byte) ([]byte, bool) {
				polling.Store(true)
				defer polling.Store(false)
				once.Do(func() { close(entered); <-leave })
				return readapi.AppendText(dst, []byte(`{"late":true}`)), false
			},
			closed: func(int, bool) { ended <- polling.Load() },
		}
	}))
	c, _ := b.dial(fastws.Dialer{})
	<-entered
	require.NoError(t, c.conn.NetConn().Close()) // without a word
	// Others come and go while the writer hangs; the dead client's connection is not theirs.
	require.Equal(t, 1, b.sockets.Open())
	require.Empty(t, b.closed)
	close(leave)
	require.False(t, <-ended, "the session was told while its writer was at work")
	require.Equal(t, 1006, <-b.closed)
}

// Trap 2: closing a hijacked connection does not free its reader; Stop does, also if the client is mute.
func TestSocketTrap02_StopFreesABlockedReader(t *testing.T) {
	handles := make(chan readapi.Handle, 1)
	b := newBare(t, readapi.SocketOptions{CloseGrace: 20 * time.Millisecond}, opening(func(h readapi.Handle) *script {
		handles <- h
		return &script{}
	}))
	c, _ := b.dial(fastws.Dialer{})
	c.conn.SetCloseHandler(func(int, string) error { return nil }) // never answers
	h := <-handles
	h.Stop(4000, "enough")
	h.Stop(4001, "too late")
	require.Equal(t, 4000, <-b.closed)
	code, reason := c.closed()
	require.Equal(t, 4000, code)
	require.Equal(t, "enough", reason)
	h.Wake() // after the end: nothing
	h.Stop(4002, "")
}

// Trap 4: the bound on messages counts bytes after decompression. 64 MB of zeros in 64 KB on the wire are
// refused with 1009 before they are unpacked, also in pieces; sockets of others do not notice.
func TestSocketTrap04_DecompressionBomb(t *testing.T) {
	b := newBare(t, readapi.SocketOptions{Compression: true, CloseGrace: 5 * time.Second}, opening(echo))
	other, _ := b.dial(fastws.Dialer{EnableCompression: true})
	bomb := deflated(t, 64<<20)
	require.Less(t, len(bomb), 80<<10)
	for _, pieces := range []int{1, 7} {
		c, resp := b.dial(fastws.Dialer{EnableCompression: true})
		require.Contains(t, resp.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate; server_no_context_takeover; client_no_context_takeover")
		c.send(`{"warm":1}`)
		require.Equal(t, frame{"warm": 1.0}, c.next())
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range pieces {
			part := bomb[i*len(bomb)/pieces : (i+1)*len(bomb)/pieces]
			op := byte(0)
			if i == 0 {
				op = 0x41 // text, compressed
			}
			if i == pieces-1 {
				op |= 0x80
			}
			if _, err := c.conn.NetConn().Write(masked(op, part)); err != nil {
				break // closed already
			}
		}
		code, _ := c.closed()
		require.Equal(t, 1009, code)
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20), "the bomb went off")
	}
	// Compression as it should be: exactly at the bound, and no byte more.
	big := `{"a":"` + strings.Repeat("x", readapi.InboundBytesMax-8) + `"}`
	other.conn.EnableWriteCompression(true)
	other.send(big)
	require.Equal(t, strings.Repeat("x", readapi.InboundBytesMax-8), other.next()["a"])
	other.send(big + " ")
	code, _ := other.closed()
	require.Equal(t, 1009, code)
}

// Trap 4: nothing is agreed on unless it is switched on and can be kept; a compressed message without
// agreement ends the socket.
func TestSocketTrap04_CompressionOnlyWhenAgreed(t *testing.T) {
	off := newBare(t, readapi.SocketOptions{}, opening(echo))
	c, resp := off.dial(fastws.Dialer{EnableCompression: true})
	require.Empty(t, resp.Header.Get("Sec-WebSocket-Extensions"))
	_, err := c.conn.NetConn().Write(masked(0xC1, deflated(t, 100)))
	require.NoError(t, err)
	require.NotEqual(t, 0, <-off.closed)

	on := newBare(t, readapi.SocketOptions{Compression: true}, opening(echo))
	for offer, agreed := range map[string]bool{
		"permessage-deflate":                                                         true,
		"permessage-deflate; client_max_window_bits":                                 true,
		"x-webkit-deflate-frame, Permessage-Deflate, permessage-deflate-frame":       false,
		"permessage-deflate; server_max_window_bits=10":                              false,
		"permessage-deflate; server_max_window_bits=10, permessage-deflate":          true,
		"permessage-deflate; server_no_context_takeover; client_no_context_takeover": true,
		"": false,
	} {
		conn, err := net.Dial("tcp", on.addr)
		require.NoError(t, err)
		_, err = fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: %s\r\n\r\n", offer)
		require.NoError(t, err)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(60*time.Second)))
		got := make([]byte, 4096)
		n, err := conn.Read(got)
		require.NoError(t, err)
		_, err = conn.Write(masked(0x81, []byte(strings.Repeat(`{"a":1}`, 100))))
		require.NoError(t, err)
		answer := make([]byte, 1)
		_, err = conn.Read(answer)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		head := string(got[:n])
		require.Contains(t, head, "101 Switching")
		require.Equal(t, strings.Contains(head, "permessage-deflate"), answer[0]&0x40 != 0, "what is sent is not what was agreed on: %s", offer)
		require.Equal(t, agreed, strings.Contains(head, "permessage-deflate"), offer)
	}
}

// Trap 5: everything a socket sends passes through one writer. Pings flood in between the fragments of
// messages while frames go out; each message is whole, each frame parses, each ping's answer is its own.
func TestSocketTrap05_ControlFramesBetweenFragments(t *testing.T) {
	for _, compression := range []bool{false, true} {
		b := newBare(t, readapi.SocketOptions{Compression: compression}, opening(echo))
		c, _ := b.dial(fastws.Dialer{EnableCompression: compression})
		var pongs atomic.Int32
		c.conn.SetPongHandler(func(s string) error {
			if s != "p" {
				t.Errorf("pong %q", s)
			}
			pongs.Add(1)
			return nil
		})
		const messages = 60
		go func() {
			for i := range messages {
				text := []byte(fmt.Sprintf(`{"i":%d,"pad":%q}`, i, strings.Repeat("é", 300*(i%5))))
				conn := c.conn.NetConn()
				for k := range text { // a frame for each byte, a ping after every other
					op := byte(0)
					if k == 0 {
						op = 0x01
					}
					if k == len(text)-1 {
						op |= 0x80
					}
					_, err := conn.Write(masked(op, text[k:k+1]))
					if k%2 == 0 && err == nil {
						_, err = conn.Write(masked(0x89, []byte("p")))
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			}
		}()
		for i := range messages {
			f := c.next()
			require.Equal(t, float64(i), f["i"])
			require.Equal(t, strings.Repeat("é", 300*(i%5)), f["pad"])
		}
		require.Positive(t, pongs.Load())
	}
}

// Traps 6 and 7: a panic anywhere in a session ends its socket alone, with 1011, and says nothing to the
// client; the hook has it.
func TestSocketTrap07_PanicsEndTheirSocketOnly(t *testing.T) {
	const secret = "secret internal detail"
	for where, panics := range map[string]*script{
		"poll":    {poll: func(context.Context, []byte) ([]byte, bool) { panic(secret) }},
		"message": {message: func([]byte) { panic(secret) }},
		"limited": {limited: func() { panic(secret) }},
		"closed":  {closed: func(int, bool) { panic(secret) }},
		"open":    nil,
	} {
		t.Run(where, func(t *testing.T) {
			var n atomic.Int32
			b := newBare(t, readapi.SocketOptions{}, opening(func(h readapi.Handle) *script {
				if n.Add(1) > 1 {
					return echo(h)
				}
				if panics == nil {
					panic(secret)
				}
				return panics
			}))
			c, _ := b.dial(fastws.Dialer{})
			for range readapi.InboundPerSecondMax + 1 {
				if c.conn.WriteMessage(fastws.TextMessage, []byte(`{}`)) != nil {
					break
				}
			}
			if where == "closed" {
				require.NoError(t, c.conn.WriteControl(fastws.CloseMessage, nil, time.Now().Add(5*time.Second)))
			}
			require.Equal(t, secret, <-b.panics)
			if where != "closed" { // which comes after the last word
				code, reason := c.closed()
				require.Equal(t, 1011, code)
				require.Empty(t, reason)
			}
			<-b.closed
			require.Empty(t, b.panics)
			good, _ := b.dial(fastws.Dialer{})
			good.send(`{"a":1}`)
			require.Equal(t, frame{"a": 1.0}, good.next())
		})
	}
}

// Trap 8: the one subprotocol that a dialect took is echoed as it was offered, and nothing else is; a
// refusal comes before the handshake with its status.
func TestSocketTrap08_SubprotocolIsEchoed(t *testing.T) {
	b := newBare(t, readapi.SocketOptions{}, func(c *fiber.Ctx) (*readapi.Upgrade, error) {
		offered := strings.Clone(c.Get("Sec-WebSocket-Protocol"))
		if offered == "x-api-key.bad" {
			return nil, domain.E(domain.KindNotFound, "", "", "no such key").WithCode("KEY_UNKNOWN")
		}
		return &readapi.Upgrade{Subprotocol: offered, Open: func(h readapi.Handle, _ time.Time) readapi.Session { return echo(h) }}, nil
	})
	for _, p := range []string{"x-api-key.aB1!#$%&'*+.^_`|~-", ""} {
		d := fastws.Dialer{}
		if p != "" {
			d.Subprotocols = []string{p}
		}
		c, resp := b.dial(d)
		require.Equal(t, p, resp.Header.Get("Sec-WebSocket-Protocol"))
		require.Equal(t, p, c.conn.Subprotocol())
	}
	_, resp, err := (&fastws.Dialer{Subprotocols: []string{"x-api-key.bad"}}).Dial("ws://"+b.addr+"/ws", nil)
	require.ErrorIs(t, err, fastws.ErrBadHandshake)
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	require.Empty(t, resp.Header.Get("Sec-WebSocket-Protocol"))
}

// Trap 11: who stops reading is closed with 1013 and has every frame in order up to there; a session is
// never told that all was delivered when it was not.
func TestSocketTrap11_WhoStopsReadingIsClosed(t *testing.T) {
	for _, compression := range []bool{false, true} {
		ended := make(chan bool, 1)
		var n atomic.Int64
		b := newBare(t, readapi.SocketOptions{Compression: compression, WriteStall: 10 * time.Millisecond, CloseGrace: 10 * time.Millisecond}, opening(func(readapi.Handle) *script {
			noise := uint64(1)
			return &script{
				poll: func(_ context.Context, dst []byte) ([]byte, bool) { // for ever
					text := fmt.Appendf(nil, `{"n":%d,"x":"`, n.Add(1)-1)
					for range 2000 {
						noise = noise*6364136223846793005 + 1442695040888963407
						text = fmt.Appendf(text, "%016x", noise)
					}
					return readapi.AppendText(dst, append(text, `"}`...)), true
				},
				closed: func(_ int, delivered bool) { ended <- delivered },
			}
		}))
		c, _ := b.dial(fastws.Dialer{EnableCompression: compression})
		c.conn.SetPingHandler(func(string) error { return nil }) // or a pong would meet a closed connection, whose reset loses what is under way
		for i := range 50 {
			require.Equal(t, float64(i), c.next()["n"])
		}
		delivered := false
		for done := false; !done; { // it reads no more
			select {
			case delivered = <-ended:
				done = true
			case <-time.After(5 * time.Millisecond):
				b.clock.Advance(time.Second)
			}
		}
		require.Equal(t, 1013, <-b.closed)
		read := int64(50)
		for {
			_, _, err := c.conn.ReadMessage()
			if err != nil {
				break
			}
			read++
		}
		require.LessOrEqual(t, read, n.Load())
		if delivered {
			require.Equal(t, n.Load(), read)
		}
	}
}

// Trap 14: half a handshake holds a connection for the server's read timeout, not for ever, and is no
// socket.
func TestSocketTrap14_HalfAHandshakeIsCutOff(t *testing.T) {
	b := newBare(t, readapi.SocketOptions{}, opening(echo))
	conn, err := net.Dial("tcp", b.addr)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	_, err = conn.Write([]byte("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgr"))
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(60*time.Second)))
	answer := make([]byte, 4096)
	for {
		if _, err = conn.Read(answer); err != nil {
			break
		}
	}
	var timeout net.Error
	require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "the connection was left open")
	require.Equal(t, 0, b.sockets.Open())
}

// Frames whose headers lie about what follows end their socket and no other.
func TestSocketTrap_MalformedFrames(t *testing.T) {
	b := newBare(t, readapi.SocketOptions{Compression: true, CloseGrace: 10 * time.Millisecond}, opening(echo))
	huge := binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, 1<<62)
	good, _ := b.dial(fastws.Dialer{})
	for name, bytes := range map[string][]byte{
		"unmasked":               {0x81, 0x02, '{', '}'},
		"reserved bits":          masked(0xB1, []byte(`{}`)),
		"reserved opcode":        masked(0x83, []byte(`{}`)),
		"endless control frame":  masked(0x09, []byte("x")),
		"long control frame":     masked(0x89, make([]byte, 126)),
		"continuation of none":   masked(0x80, []byte(`{}`)),
		"text within a text":     append(masked(0x01, []byte(`{`)), masked(0x81, []byte(`}`))...),
		"compressed nonsense":    masked(0xC1, []byte("\xff\xff\xff\xff\xff")),
		"length beyond 63 bits":  append([]byte{0x81, 0xff}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0),
		"four exabytes to come":  append(append(huge, 0, 0, 0, 0), make([]byte, 70<<10)...),
		"close with half a code": masked(0x88, []byte{3}),
		"close with a bad code":  masked(0x88, []byte{0, 1}),
	} {
		c, _ := b.dial(fastws.Dialer{EnableCompression: true})
		_, err := c.conn.NetConn().Write(bytes)
		require.NoError(t, err, name)
		select {
		case code := <-b.closed:
			require.NotZero(t, code, name)
		case <-time.After(60 * time.Second):
			require.Fail(t, "still open", name)
		}
	}
	good.send(`{"a":1}`)
	require.Equal(t, frame{"a": 1.0}, good.next())
	require.Eventually(t, func() bool { return b.sockets.Open() == 1 }, time.Minute, time.Millisecond)
}

// masked is a client's frame with the mask 0, which leaves the payload as it is.
func masked(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// deflated is a JSON text of n zeros, compressed as one message.
func deflated(t *testing.T, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	require.NoError(t, err)
	zeros := bytes.Repeat([]byte("0"), 1<<16)
	for ; n > 0; n -= len(zeros) {
		_, err = w.Write(zeros[:min(n, len(zeros))])
		require.NoError(t, err)
	}
	require.NoError(t, w.Flush())
	return bytes.TrimSuffix(out.Bytes(), []byte{0, 0, 0xff, 0xff})
}
