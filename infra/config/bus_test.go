package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const goodSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func TestValidate_NATS(t *testing.T) {
	for _, c := range []struct{ args, field string }{
		{"--nats=http://hunter2@h", "nats"},
		{"--nats=nats://h:4222,hunter2", "nats"},
		{"--nats=nats://h --nats-cert=x", "nats_cert"},
		{"--nats=nats://h --nats-deltas=a..b", "nats_deltas"},
		{"--nats=nats://h --nats-deltas=a.*", "nats_deltas"},
		{"--nats=nats://h --intake-nats=a.b", "intake_nats"},
		{"--intake-nats=commands", "intake_nats"},
	} {
		_, err := load(t, append([]string{"serve"}, strings.Fields(c.args)...))
		var ps Problems
		require.ErrorAs(t, err, &ps, c.args)
		require.Len(t, ps, 1, c.args)
		require.Equal(t, c.field, ps[0].Field)
		require.NotContains(t, err.Error(), "hunter2")
	}
	inv, err := load(t, []string{"serve", "--nats", "nats://u:hunter2@a:4222,tls://b", "--intake-nats", "quipu-commands", "--nats-deltas", ""})
	require.NoError(t, err)
	require.NotContains(t, inv.Config.Redacted(), "hunter2")
}

func TestReadWebhooks(t *testing.T) {
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "webhooks.json")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	list, err := ReadWebhooks("")
	require.NoError(t, err)
	require.Empty(t, list)
	list, err = ReadWebhooks(write(`[{"name":"a","url":"https://h/?token=hunter2","secret":"` + goodSecret + `","previous_secret":"` + goodSecret + `","types":["run.*"],"workflows":["w"],"from":"start"}]`))
	require.NoError(t, err)
	require.Equal(t, Secret(goodSecret), list[0].PreviousSecret)
	shown, err := json.Marshal(list)
	require.NoError(t, err)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v %s", list, list, list, shown), "hunter2")
	require.NotContains(t, fmt.Sprintf("%v %+v %s", list, list, shown), "MfKQ")

	one := func(change string) string {
		return `[{"name":"a","url":"https://h","secret":"` + goodSecret + `"` + change + `}]`
	}
	for text, want := range map[string]string{
		`{}`:                                 "is not a JSON list",
		`[] []`:                              "something follows",
		`[{"nam":"a"}]`:                      "unknown field",
		`[{"name":"a","url":5}]`:             "is not a JSON list",
		strings.Repeat(" ", 1<<20) + `[]`:    "too large",
		`[{}]`:                               "webhooks[0].name: is not a name",
		`[{"name":"A/b"}]`:                   "webhooks[0].name",
		`[{"name":"a","url":"hunter2://x"}]`: "webhooks[0].url",
		`[{"name":"a","url":"https://u:hunter2@h"}]`:                              "user name or password",
		`[{"name":"a","url":"https://h","secret":"whsec_hunter2"}]`:               "webhooks[0].secret",
		one(`,"previous_secret":"hunter2"`):                                       "webhooks[0].previous_secret",
		one(`,"types":["a*b"]`):                                                   "webhooks[0].types[0]",
		one(`,"workflows":[""]`):                                                  "webhooks[0].workflows[0]",
		one(`,"from":"yesterday"`):                                                "webhooks[0].from",
		strings.Replace(one("")+one(""), "}][{", "},{", 1):                        "stands twice",
		"[" + strings.TrimSuffix(strings.Repeat(`{},`, webhooksMax+1), ",") + "]": "has 101 entries",
	} {
		_, err := ReadWebhooks(write(text))
		require.ErrorContains(t, err, want, "%.60s", text)
		require.NotContains(t, err.Error(), "hunter2")
	}
	_, err = ReadWebhooks(filepath.Join(t.TempDir(), "none"))
	require.ErrorContains(t, err, "cannot be read: no such file")
}
