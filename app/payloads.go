package app

import (
	"context"
	"net/url"
	"strconv"

	"quipu/commands"
	"quipu/commands/sealing"
	"quipu/domain"
	"quipu/domain/rawjson"
)

// payloads shows values to clients: secrets masked, unless the operator turned that off, and large
// blobs as links.
type payloads struct {
	blobs    commands.Blobs
	revealer *commands.Revealer // nil: masked
}

func (s *server) payloads() payloads {
	p := payloads{blobs: s.node.Blobs}
	if !s.Config.Sockets.MaskFrames {
		p.revealer = &commands.Revealer{Log: s.log, Secrets: commands.Secrets{Vault: s.node.Vault, Blobs: s.node.Blobs}}
	}
	return p
}

// Render implements lao.Payloads.
func (p payloads) Render(ctx context.Context, executionID string, v domain.Value, inlineMax int) ([]byte, error) {
	if len(v.Holes) == 0 {
		return v.JSON, nil
	}
	if p.revealer != nil && !linked(v, inlineMax) {
		return p.revealer.Reveal(ctx, executionID, v)
	}
	return sealing.Mask(ctx, p.blobs, v, int64(inlineMax))
}

// Definition implements history.Payloads: a stored workflow's secrets are masked, whatever the switch
// for runs says, so that what was read can be written back.
func (p payloads) Definition(ctx context.Context, graph domain.Value, inlineMax int) ([]byte, error) {
	return sealing.Mask(ctx, p.blobs, graph, int64(inlineMax))
}

// linked reports whether part of v is so large that a link stands for it.
func linked(v domain.Value, inlineMax int) bool {
	for _, h := range v.Holes {
		if h.Blob != "" && h.Bytes > int64(inlineMax) {
			return true
		}
	}
	return false
}

// render shows a value in task-status, where a result is wanted whole.
func (s *server) render(ctx context.Context, runID string, v domain.Value) ([]byte, error) {
	return s.payloads().Render(ctx, runID, v, s.Config.HTTP.BodyBytesMax)
}

// executionLink stands in a frame for results that are too large for it.
func executionLink(executionID string, tasks int) []byte {
	b := rawjson.AppendString([]byte(`{"href":`), "/api/executions/"+url.PathEscape(executionID))
	return append(strconv.AppendInt(append(b, `,"tasks":`...), int64(tasks), 10), '}')
}
