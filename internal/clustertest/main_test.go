package clustertest

import (
	"flag"
	"net"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/internal/proctest"
)

var copyFlag = flag.Int("copy-events", intFromEnv("CLUSTERTEST_COPY_EVENTS", 5_000), "how many events the copied log has")

var runsFlag = flag.Int("runs", intFromEnv("CLUSTERTEST_RUNS", 200), "how many runs are started while nodes are killed and networks cut")

func intFromEnv(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

func TestMain(m *testing.M) { proctest.Main(m) }

// freeAddr is an address of this machine that nobody listens at.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	return l.Addr().String()
}
