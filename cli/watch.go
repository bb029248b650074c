package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fasthttp/websocket"

	"quipu/infra/config"
)

// watch carries out quipu watch: it follows the socket of a run, or of an execution by its id, and prints one frame a line until
// that ends or ctx does. With Follow it goes on to later runs of the name.
func watch(ctx context.Context, w config.Watch, stdout io.Writer) error {
	u := url.URL{Scheme: "ws", Host: serverHost(w.Server), Path: "/ws/" + w.Flow + "/" + w.Run}
	u.RawPath = "/ws/" + url.PathEscape(w.Flow) + "/" + url.PathEscape(w.Run)
	if w.Run == "" {
		u.Path, u.RawPath = "/api/events/ws/executions/"+w.Flow, "/api/events/ws/executions/"+url.PathEscape(w.Flow)
	}
	if w.From == "" && w.After == "" {
		w.From = "0"
	}
	q := url.Values{}
	for key, value := range map[string]string{"from": w.From, "after": w.After, "types": w.Types, "execution_id": w.ExecutionID} {
		if value != "" {
			q.Set(key, value)
		}
	}
	u.RawQuery = q.Encode()
	conn, response, err := websocket.DefaultDialer.DialContext(ctx, u.String(), withKey(http.Header{}, w.APIKey))
	if err != nil {
		return refusal(u.String(), response, err)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		_, frame, err := conn.ReadMessage()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("watch %s: %w", u.String(), err)
		}
		if _, err := fmt.Fprintf(stdout, "%s\n", frame); err != nil {
			return err
		}
		if !w.Follow && endsRun(frame) {
			return nil
		}
	}
}

// refusal makes a readable error of a handshake that was answered with a problem.
func refusal(url string, response *http.Response, err error) error {
	if response == nil || !errors.Is(err, websocket.ErrBadHandshake) {
		return fmt.Errorf("watch %s (start a server there, or set --server to where one is): %w", url, err)
	}
	return fmt.Errorf("watch %s: %s: %s", url, response.Status, problemText(response))
}

// lastTypes are the types of the frames that end a run, of LAO and of the Orchestrator.
var lastTypes = strings.Fields("flow_completed flow_error workflow.completed workflow.failed workflow.cancelled")

// endsRun reports whether a frame is the last of its run.
func endsRun(frame []byte) bool {
	var f struct {
		EventType string `json:"event_type"`
	}
	return json.Unmarshal(frame, &f) == nil && slices.Contains(lastTypes, f.EventType)
}
