// Package telemetry is how the process is observed: log lines (NewLogger), metrics (Metrics) and
// health (Health).
//
// Packages that are observed do not import this one. They declare a small interface or function of
// their own with basic types, which Metrics and Health happen to satisfy; package app joins them.
package telemetry
