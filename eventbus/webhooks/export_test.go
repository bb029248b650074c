package webhooks

// For tests in the package beside.
var (
	Sign        = sign
	TypeMatches = typeMatches
)

// Backoff is the wait after the n-th failure.
var Backoff = Options.backoff

// WithDefaults fills an option's zero values.
var WithDefaults = Options.withDefaults
