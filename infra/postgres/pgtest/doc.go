// Package pgtest runs real PostgreSQL servers for tests and benchmarks.
//
// A test that needs a database asks for URL and gets an empty one on the server of its test binary. A
// test that stops, kills or fills a server starts one of its own with Start. Programs (the benchmark)
// use Launch. Each server has a temporary data directory; a watcher process ends it and removes the
// directory when its owner closes it or dies, however it dies, so no TestMain is needed and nothing is
// left behind by a panic or a kill.
//
// The server is the system's newest package (Debian: /usr/lib/postgresql/*/bin, else the PATH). If
// there is none, root installs it with apt-get; anyone else gets an error that says what to install.
// As root the server runs as user postgres, since it refuses root.
package pgtest
