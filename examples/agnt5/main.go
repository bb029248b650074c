// Command agnt5 is a client of the AGNT5 API: it has an endpoint start one of its workflows and prints the
// execution's frames, one a line, until it has ended. The key stands in AGNT5_KEY.
//
//	AGNT5_KEY=… go run ./examples/agnt5 <endpoint> <workflow> '{"user_query": "a flat white"}'
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"

	"github.com/fasthttp/websocket"
)

func main() {
	server := flag.String("server", "127.0.0.1:8080", "host:port of the server")
	flag.Parse()
	if flag.NArg() != 3 {
		fmt.Fprintln(os.Stderr, "usage: agnt5 [-server host:port] <endpoint> <workflow> <parameters as JSON>")
		os.Exit(2)
	}
	if err := invoke(*server, os.Getenv("AGNT5_KEY"), flag.Arg(0), flag.Arg(1), flag.Arg(2)); err != nil {
		fmt.Fprintln(os.Stderr, "agnt5:", err)
		os.Exit(1)
	}
}

func invoke(server, key, endpoint, workflow, parameters string) error {
	dialer := websocket.Dialer{Subprotocols: []string{"x-api-key." + key}} // as browsers must send it
	conn, response, err := dialer.Dial("ws://"+server+"/ws?x-wf-endpoint="+url.QueryEscape(endpoint), nil)
	if err != nil {
		if response != nil {
			err = fmt.Errorf("%w: %s", err, response.Status)
		}
		return err
	}
	defer func() { _ = conn.Close() }()
	err = conn.WriteJSON(map[string]any{"name": workflow, "parameters": json.RawMessage(parameters)})
	for err == nil {
		var line []byte
		if _, line, err = conn.ReadMessage(); err != nil {
			break
		}
		fmt.Println(string(line))
		var frame struct{ Type string }
		if err = json.Unmarshal(line, &frame); err != nil {
			break
		}
		switch frame.Type {
		case "execution_completed":
			return nil
		case "execution_failed", "execution_cancelled", "error":
			return errors.New(frame.Type)
		}
	}
	return err
}
