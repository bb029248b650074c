// Package memory holds adapters that live on the heap: reference models for the conformance
// suites, and what tests and simulations run on.
package memory
