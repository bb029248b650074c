package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A port that others can reach never opens without TLS and a credential unless that is said.
func TestPort_RefusesWhatWouldBeOpen(t *testing.T) {
	const secret = "node:0123456789abcdef"
	for name, c := range map[string]struct {
		args  []string
		field string // "": accepted
	}{
		"off":                            {nil, ""},
		"loopback":                       {[]string{"--kurrentdb-addr=127.0.0.1:0"}, ""},
		"open to others":                 {[]string{"--kurrentdb-addr=:2113"}, "kurrentdb_addr"},
		"open, and said so":              {[]string{"--kurrentdb-addr=:2113", "--insecure"}, ""},
		"TLS":                            {[]string{"--kurrentdb-addr=:2113", "--kurrentdb-tls-cert=c", "--kurrentdb-tls-key=k", "--kurrentdb-node-credential=" + secret}, ""},
		"TLS without anybody":            {[]string{"--kurrentdb-addr=:2113", "--kurrentdb-tls-cert=c", "--kurrentdb-tls-key=k"}, "kurrentdb_tls_cert"},
		"certificate without key":        {[]string{"--kurrentdb-tls-cert=c", "--kurrentdb-read-credential=" + secret}, "kurrentdb_tls_key"},
		"credential that nobody checks":  {[]string{"--kurrentdb-addr=127.0.0.1:0", "--kurrentdb-node-credential=" + secret}, "kurrentdb_node_credential"},
		"short password":                 {[]string{"--kurrentdb-tls-cert=c", "--kurrentdb-tls-key=k", "--kurrentdb-node-credential=n:short"}, "kurrentdb_node_credential"},
		"one credential for both":        {[]string{"--kurrentdb-tls-cert=c", "--kurrentdb-tls-key=k", "--kurrentdb-node-credential=" + secret, "--kurrentdb-read-credential=" + secret}, "kurrentdb_read_credential"},
		"no address":                     {[]string{"--kurrentdb-addr=2113"}, "kurrentdb_addr"},
		"prefix of system streams":       {[]string{"--log-prefix=$q"}, "log_prefix"},
		"empty prefix":                   {[]string{"--log-prefix="}, "log_prefix"},
		"prefix with a character beyond": {[]string{"--log-prefix=é"}, "log_prefix"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, command := range [][]string{{"serve"}, {"log", "serve"}} {
				_, err := load(t, append(command, c.args...))
				if c.field == "" {
					require.NoError(t, err)
					continue
				}
				var problems Problems
				require.ErrorAs(t, err, &problems)
				require.Len(t, problems, 1)
				require.Equal(t, c.field, problems[0].Field)
				require.NotContains(t, err.Error(), secret)
			}
		})
	}
}

func TestLogServe_ListensOnLoopbackByDefault(t *testing.T) {
	inv, err := load(t, []string{"log", "serve", "--data=/somewhere"})
	require.NoError(t, err)
	require.Equal(t, CommandLogServe, inv.Command)
	require.Equal(t, LogServeAddr, inv.Config.Port.Addr)
	require.Equal(t, "/somewhere", inv.Config.Storage.Data)
	inv, err = load(t, []string{"serve"})
	require.NoError(t, err)
	require.Empty(t, inv.Config.Port.Addr)
}
