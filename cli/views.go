package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"quipu/app/progress"
	"quipu/infra/config"
)

// viewsCommand carries out quipu views rebuild or verify.
func viewsCommand(ctx context.Context, inv config.Invocation, logger *slog.Logger, stdout io.Writer) error {
	name := strings.TrimPrefix(inv.Command, "views ")
	var last progress.Line
	show := func(l progress.Line) {
		last = l
		if l.Error == "" { // main prints errors
			fmt.Fprintln(stdout, l.Text())
		}
	}
	var err error
	if inv.ViewsServer != "" {
		err = viewsThere(ctx, inv.ViewsServer, inv.APIKey, name, show)
	} else {
		err = viewsHere(ctx, inv.Config, name, logger, show)
	}
	switch {
	case err != nil:
		return fmt.Errorf("views %s: %w", name, err)
	case last.Result == nil:
		return fmt.Errorf("views %s: the server ended the answer before the work was done", name)
	case name == "verify" && last.Result.Differences > 0:
		return fmt.Errorf("views verify: %d differences; `quipu views rebuild` makes the views equal to the log", last.Result.Differences)
	}
	return nil
}

// viewsThere lets a running server do the work.
func viewsThere(ctx context.Context, server string, key config.Secret, name string, show func(progress.Line)) error {
	url := "http://" + serverHost(server) + "/admin/views/" + name
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return fmt.Errorf("--server: %w", err)
	}
	withKey(request.Header, key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("set --server to where a server is, or leave it out to work on the folder that --data names: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, problemText(response))
	}
	lines := json.NewDecoder(response.Body)
	for {
		var line progress.Line
		switch err := lines.Decode(&line); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case line.Error != "":
			return errors.New(line.Error)
		}
		show(line)
	}
}
