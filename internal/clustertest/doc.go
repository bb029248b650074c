// Package clustertest tests several nodes as one system: real processes of the binary on one log server,
// PostgreSQL and NATS, every connection between two parts through a proxy that can cut, delay and half-open
// it (internal/faultproxy).
//
//	go test ./internal/clustertest -run Cluster -runs 10000 -seed 7
//
// The sizes and the seed also come from CLUSTERTEST_RUNS, CLUSTERTEST_COPY_EVENTS and PROCTEST_SEED.
package clustertest
