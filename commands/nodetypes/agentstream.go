package nodetypes

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	openai "github.com/sashabaranov/go-openai"

	"quipu/commands/node"
	"quipu/domain/rawjson"
)

// open sends a request whose answer comes piece by piece.
func (m *modelCall) open(req *http.Request) (*http.Response, error) {
	m.details = map[string]any{"method": req.Method, "url": shown(req.URL)}
	resp, failure := m.deps.begin(req, req.Method+" "+shown(req.URL), m.details)
	if failure != nil {
		return nil, failure
	}
	m.reading = &limitedBody{reader: bufio.NewReader(resp.Body), closer: resp.Body, left: m.deps.ReplyBytesMax}
	resp.Body = m.reading
	return resp, nil
}

// streamed asks for an answer in pieces and tells of each.
func (m *modelCall) streamed(ctx context.Context, client *openai.Client, r openai.ChatCompletionRequest) (answer, error) {
	stream, err := client.CreateChatCompletionStream(ctx, r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = stream.Close() }() // closed before its end costs the connection
	if m.reading.plain() {
		return m.inOnePiece(ctx)
	}
	var text strings.Builder
	ans := answer{}
	choices, finished := false, false
	for {
		line, err := stream.RecvRaw()
		if failure := m.broken(ctx, err); failure != nil {
			return answer{}, failure
		}
		if errors.Is(err, io.EOF) {
			break
		}
		var piece openai.ChatCompletionStreamResponse
		if err == nil {
			err = m.understand(line, &piece)
		}
		if err != nil {
			return answer{}, err
		}
		if piece.Model != "" {
			ans.model = clip(piece.Model, 200)
		}
		ans.count(piece.Usage)
		for _, c := range piece.Choices {
			if c.Index != 0 {
				continue
			}
			choices = true
			finished = finished || c.FinishReason != ""
			if c.Delta.Content != "" {
				text.WriteString(c.Delta.Content)
				m.call.Delta(c.Delta.Content)
			}
		}
	}
	m.details["reply_bytes"], m.details["streamed"] = m.reading.read, true
	switch {
	case !finished && !m.reading.done():
		return answer{}, sendFailure(ctx, "POST "+m.shown(), io.ErrUnexpectedEOF)
	case !choices:
		return answer{}, errNoChoices
	}
	ans.output = rawjson.Quote(text.String())
	return ans, nil
}

// understand reads one piece. A server that fails midway says so in the place of a piece.
func (m *modelCall) understand(line []byte, piece *openai.ChatCompletionStreamResponse) error {
	if e, ok := rawjson.Get(line, "/error"); rawjson.Check(line, 64) == nil && ok && rawjson.KindOf(e) != rawjson.Null {
		f := node.Failf("ReplyError", codeModelFailed, true, "POST %s: the model's server broke off with an error", m.shown())
		f.Said = said(line)
		return f
	}
	if err := json.Unmarshal(line, piece); err != nil {
		m.body = line
		return err
	}
	return nil
}

// broken is the failure behind an error of reading; nil if the stream went on or came to its end.
func (m *modelCall) broken(ctx context.Context, err error) *node.Failure {
	var api *openai.APIError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &api):
		f := node.Failf("ReplyError", codeModelFailed, true, "POST %s: the model's server broke off with an error", m.shown())
		f.Said = oneLine(api.Message)
		return f
	case errors.Is(err, errOverLimit):
		return m.deps.tooLarge("POST " + m.shown())
	case errors.Is(err, io.EOF), errors.Is(err, openai.ErrTooManyEmptyStreamMessages):
		return nil
	}
	return sendFailure(ctx, "POST "+m.shown(), err)
}

// inOnePiece reads the answer of a server that does not stream.
func (m *modelCall) inOnePiece(ctx context.Context) (answer, error) {
	body, err := io.ReadAll(m.reading)
	m.body = body
	if failure := m.broken(ctx, err); failure != nil {
		return answer{}, failure
	}
	m.details["reply_bytes"] = len(body)
	var response openai.ChatCompletionResponse
	err = json.Unmarshal(body, &response)
	ans, err := whole(response, err)
	if err == nil {
		m.call.Delta(rawjson.Unquote(ans.output))
	}
	return ans, err
}

var errOverLimit = errors.New("the answer is over the limit")

// limitedBody is the body of a streamed answer: at most left bytes are read.
type limitedBody struct {
	reader *bufio.Reader
	closer io.Closer
	left   int64
	read   int64
	tail   []byte // the last bytes read
}

// plain tells whether the answer is a JSON object instead of events.
func (b *limitedBody) plain() bool {
	for n := 1; n <= 64; n++ {
		head, err := b.reader.Peek(n)
		if len(head) < n || err != nil {
			return false
		}
		if c := head[n-1]; c > ' ' {
			return c == '{'
		}
	}
	return false
}

func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.reader.Read(p)
	b.read += int64(n)
	if b.left -= int64(n); b.left < 0 {
		return 0, errOverLimit
	}
	b.tail = append(b.tail, p[:n]...)
	b.tail = append(b.tail[:0], b.tail[max(0, len(b.tail)-tailBytes):]...)
	return n, err
}

const tailBytes = 64

// done tells whether the answer ended with the mark that says so.
func (b *limitedBody) done() bool { return bytes.Contains(b.tail, []byte("[DONE]")) }

// Close ends the reading; what was not read costs the connection.
func (b *limitedBody) Close() error { return b.closer.Close() }
