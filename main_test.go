package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/infra/config"
)

// Scripts tell a wrong call, which no repetition mends, from work that failed.
func TestExitCode(t *testing.T) {
	require.Equal(t, exitOK, exitCode(nil))
	require.Equal(t, exitFailed, exitCode(errors.New("disk full")))
	require.Equal(t, exitUsage, exitCode(fmt.Errorf("call: %w", &config.UsageError{Cause: errors.New("no such flag")})))
	require.Equal(t, exitUsage, exitCode(config.Problems{{}}))
}
