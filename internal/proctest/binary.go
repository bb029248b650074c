package proctest

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

var (
	kills      = flag.Int("kills", intFromEnv("PROCTEST_KILLS", 30), "how often the kill test kills the server")
	seedFlag   = flag.Int64("seed", int64(intFromEnv("PROCTEST_SEED", 0)), "seed of the random choices; 0 takes the time")
	raceBinary = flag.Bool("race-binary", raceEnabled, "build the server with the race detector")
)

func intFromEnv(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// Kills is how often the kill test kills the server.
func Kills() int { return *kills }

// Seed is the seed of this run's random choices; it is in the test's log.
func Seed(t testing.TB) int64 {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = time.Now().UnixNano()
	}
	t.Logf("to repeat: -run '^%s$' -seed %d (the scheduler of the machine has a say too)", t.Name(), seed)
	return seed
}

var build struct {
	once sync.Once
	dir  string
	path string
	err  error
}

// Main builds nothing by itself, but removes what Binary built, after the functions given. Call it
// from TestMain.
func Main(m *testing.M, after ...func()) {
	code := m.Run()
	for _, f := range after {
		f()
	}
	if build.dir != "" {
		_ = os.RemoveAll(build.dir)
	}
	os.Exit(code)
}

// Binary is the path of the server, built as make build does it, on the first call. PROCTEST_BINARY names
// one that is built already.
func Binary(t testing.TB) string {
	t.Helper()
	build.once.Do(func() {
		if build.path = os.Getenv("PROCTEST_BINARY"); build.path != "" {
			return
		}
		if build.dir, build.err = os.MkdirTemp("", "quipu-binary-"); build.err != nil {
			return
		}
		build.path = filepath.Join(build.dir, "quipu")
		args, cgo := []string{"build", "-trimpath"}, "CGO_ENABLED=0"
		if *raceBinary {
			args, cgo = append(args, "-race"), "CGO_ENABLED=1"
		}
		cmd := exec.Command("go", append(args, "-o", build.path, ".")...)
		cmd.Dir, cmd.Env = filepath.Join("..", ".."), append(os.Environ(), cgo)
		if out, err := cmd.CombinedOutput(); err != nil {
			build.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if build.err != nil {
		t.Fatal(build.err)
	}
	return build.path
}
