package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestValidate_Log(t *testing.T) {
	for url, ok := range map[string]bool{
		"": true, "esdb://h": true, "esdb+discover://u:hunter2@h:1,i:2?tls=false": true, "kurrentdb://h": true, "kurrentdb+discover://h": true,
		"esdb://": false, "./data": false, "postgres://u:hunter2@h": false, "ESDB://u:hunter2@h": false, "esdb:u:hunter2@h": false,
	} {
		inv, err := load(t, []string{"serve"}, "QUIPU_LOG="+url)
		if ok {
			require.NoError(t, err, url)
			require.Equal(t, url != "", inv.Config.Log.Remote())
			continue
		}
		require.ErrorContains(t, err, "log: is no connection string", url)
		require.NotContains(t, err.Error(), "hunter2")
	}
	_, err := load(t, []string{"serve", "--log=esdb://h", "--kurrentdb-addr=127.0.0.1:0"})
	require.ErrorContains(t, err, "kurrentdb_addr: is set although the log is kept elsewhere")
	inv, err := load(t, []string{"views", "verify", "--log-prefix=p."}, "QUIPU_LOG=esdb://h")
	require.NoError(t, err)
	require.Equal(t, []string{"esdb://h", "p."}, []string{inv.Config.Log.URL.Reveal(), inv.Config.LogNames.Prefix})
}
