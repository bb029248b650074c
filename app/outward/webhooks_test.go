package outward

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/infra/config"
)

var jsonBlocks = regexp.MustCompile("(?s)```json\n(.*?)```")

// The examples of the page are what the program takes and gives.
func TestDocs_Webhooks(t *testing.T) {
	page, err := os.ReadFile("../../docs/webhooks.md")
	require.NoError(t, err)
	blocks := jsonBlocks.FindAllSubmatch(page, -1)
	require.Len(t, blocks, 2)
	path := filepath.Join(t.TempDir(), "webhooks.json")
	require.NoError(t, os.WriteFile(path, blocks[0][1], 0o600))
	list, err := config.ReadWebhooks(path)
	require.NoError(t, err)
	targets, err := webhookTargets(list)
	require.NoError(t, err)
	require.Len(t, targets[1].Keys, 2)
	require.True(t, targets[1].FromStart)
	var shown map[string]any
	require.NoError(t, json.Unmarshal(blocks[1][1], &shown))
	for _, name := range strings.Fields("specversion id source type subject time datacontenttype position revision partitionkey correlation data") {
		require.Contains(t, shown, name)
	}
}
