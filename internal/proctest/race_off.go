//go:build !race

package proctest

// raceEnabled says that the tests run with the race detector; then the binary is built with it too.
const raceEnabled = false
