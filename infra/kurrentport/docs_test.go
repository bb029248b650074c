package kurrentport_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/infra/kurrentport"
)

// The page of the port states its bounds as they are.
func TestDocs_BoundsEqualTheConstants(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "kurrentdb-port.md"))
	require.NoError(t, err)
	for row, want := range map[string]string{
		"connections":             "4,096",
		"calls of one connection": fmt.Sprintf("`--kurrentdb-streams-max`, %d", kurrentport.StreamsMaxDefault),
		"a message; headers":      fmt.Sprintf("%d MiB; %d KiB", kurrentport.MessageBytesMax>>20, kurrentport.HeaderBytesMax>>10),
		"an append":               fmt.Sprintf("`--kurrentdb-append-bytes-max`, %d KiB; %d events", domain.AppendBytesMax>>10, domain.AppendEventsMax),
		"a filter":                fmt.Sprintf("%d prefixes, %d KiB", kurrentport.FilterPrefixesMax, kurrentport.FilterBytesMax>>10),
		"pings of a client":       fmt.Sprintf("one in %d s", kurrentport.PingMinDefault/time.Second),
		"appends of one batch call at once; begun and not final": fmt.Sprintf("%d; %d and %d MiB", kurrentport.BatchInFlightMax, kurrentport.BatchOpenMax, kurrentport.BatchOpenBytesMax>>20),
	} {
		require.Contains(t, string(doc), "\n| "+row+" | "+want+" | ")
	}
	require.Equal(t, 4096, kurrentport.ConnectionsMax)
	require.Contains(t, string(doc), fmt.Sprintf("at most %d bytes of UTF-8", domain.StreamIDBytesMax-len(domain.ExternalPrefix)))
}
