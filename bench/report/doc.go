// Package report holds what the benchmarks found and prints it: each figure beside the raw limit of
// the same run and the target it has to meet.
package report
