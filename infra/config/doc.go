// Package config reads the process configuration: one tree of settings, each with a default, a
// unit, bounds and one sentence.
//
// To add a setting, add a field to config.go: the flag (--name), the environment variable
// (QUIPU_NAME), the key in the JSON file (name), the check of its bounds, the line printed at
// start and the row in docs/operations.md all follow from the field and its tags. Then run the
// package's tests with -update to rewrite that table.
//
// A flag beats the environment, the environment beats the file, the file beats the default. This
// package is the only one that looks at the environment, and only at what main hands to it.
package config
