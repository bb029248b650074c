package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTracing_Headers(t *testing.T) {
	c := Default()
	require.False(t, c.Tracing.Enabled())
	c.Tracing.Endpoint, c.Tracing.Headers = "https://collector.example:4318/custom", "authorization=Bearer a=b, x-team=7"
	require.NoError(t, c.Validate())
	require.True(t, c.Tracing.Enabled())
	require.Equal(t, map[string]string{"authorization": "Bearer a=b", "x-team": "7"}, c.Tracing.HeaderValues())
}

func TestTracing_WrongValuesAreNamedWithoutTheirText(t *testing.T) {
	for _, tc := range []struct {
		endpoint string
		headers  Secret
		field    string
	}{
		{"collector:4318", "", "otlp_endpoint"},
		{"grpc://collector:4317", "", "otlp_endpoint"},
		{"http://hunter2@collector", "", "otlp_endpoint"},
		{"http://collector?key=hunter2", "", "otlp_endpoint"},
		{"", "hunter2", "otlp_headers"},
		{"", "=hunter2", "otlp_headers"},
		{"", "a b=hunter2", "otlp_headers"},
		{"", "a=hunter2\x01x", "otlp_headers"},
	} {
		c := Default()
		c.Tracing.Endpoint, c.Tracing.Headers = tc.endpoint, tc.headers
		var ps Problems
		require.ErrorAs(t, c.Validate(), &ps)
		require.Len(t, ps, 1)
		require.Equal(t, tc.field, ps[0].Field)
		require.NotContains(t, ps.Error(), "hunter2")
	}
}
