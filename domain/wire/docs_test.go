package wire_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/domain/rawjson"
	"quipu/domain/wire"
)

// docs is docs/events.md cut at its headings "### <type>".
func docs(t *testing.T) (preface string, sections map[string]string) {
	t.Helper()
	b, err := os.ReadFile("../../docs/events.md")
	require.NoError(t, err)
	parts := strings.Split(string(b), "\n### ")
	sections = map[string]string{}
	for _, p := range parts[1:] {
		title, body, _ := strings.Cut(p, "\n")
		sections[title] = body
	}
	return parts[0], sections
}

// Auditors read the log by this page: a type or a field that it does not name is lost to them.
func TestDocs_CatalogueEqualsCode(t *testing.T) {
	preface, sections := docs(t)
	types := append(append(wire.RunTypes(), wire.NameBound, wire.EndpointCreated, wire.ChannelMessage), wire.WorkflowTypes()...)
	require.Len(t, sections, len(types))
	for _, typ := range types {
		body, ok := sections[typ]
		require.True(t, ok, "docs/events.md lacks %s", typ)
		want, err := os.ReadFile(filepath.Join("testdata", typ+".golden.json"))
		require.NoError(t, err)
		_, example, _ := strings.Cut(body, "```json\n")
		example, _, _ = strings.Cut(example, "```")
		require.Equal(t, string(want), example, "the example of %s is not its golden file", typ)
		requireRows(t, typ, body, want)
	}
	var keys []string
	for _, m := range rawjson.Members(sealedMetadata()) {
		keys = append(keys, m.Key)
		require.Contains(t, preface, "\n| `"+m.Key+"` |", "metadata")
	}
	require.Equal(t, []string{"at", "actor", "command_id", "$correlationId", "$causationId", "traceparent", "prev", "data_sha256"}, keys)
	for _, field := range []string{"at", "sealed", "fp", "blob", "bytes"} {
		require.Regexp(t, "(?m)^\\|.*`"+field+"`.*\\|", preface)
	}
}

// requireRows compares the table of a section with the fields of the golden file, both ways.
func requireRows(t *testing.T, typ, body string, data []byte) {
	t.Helper()
	var fields []string
	for _, m := range rawjson.Members(data) {
		fields = append(fields, m.Key)
	}
	if typ == wire.RunLLMFailed { // the short sample
		fields = append(fields, "details")
	}
	if typ == wire.RunStarted { // in samples of their own, since stored bytes are never edited
		fields = append(fields, "workflow_version", "endpoint", "connection_id", "metadata", "retry_of", "reused")
	}
	var rows []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllStringSubmatch(body, -1) {
		for _, f := range strings.Split(row[1], ", ") {
			rows = append(rows, strings.Trim(f, "`"))
		}
	}
	slices.Sort(fields)
	slices.Sort(rows)
	require.Equal(t, fields, rows, typ)
}

func sealedMetadata() []byte {
	p, _ := wire.Seal("s", wire.Head{Revision: 3}, at(0), cause, "t", []byte("{}"))
	return p.Metadata
}

// The bytes printed in the page hash to what it says, and so does the code.
func TestDocs_HashVector(t *testing.T) {
	preface, _ := docs(t)
	_, block, _ := strings.Cut(preface, "<!-- vector:begin -->")
	block, _, _ = strings.Cut(block, "<!-- vector:end -->")
	var bytes []byte
	for _, line := range regexp.MustCompile("(?m)^([0-9a-f]{8}) ([0-9a-f]+) ").FindAllStringSubmatch(block, -1) {
		b, err := hex.DecodeString(line[1] + line[2])
		require.NoError(t, err)
		bytes = append(bytes, b...)
	}
	sum := sha256.Sum256(bytes)
	require.Contains(t, block, "sha256   "+hex.EncodeToString(sum[:])+"\n")
	got := domain.HashEvent("run-1", 0, "run.started.v1", []byte("{}"))
	require.Equal(t, hex.EncodeToString(sum[:]), got.String())
	require.Contains(t, block, "event id "+domain.UUIDv8(got).String()+"\n")
}
