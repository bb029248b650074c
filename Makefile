# Everything needs only the Go toolchain; race also needs a C compiler, which the race detector links.
# Tests install what else they need from Debian (PostgreSQL, Chromium, Node.js, nginx) when root runs them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

ARGS ?=
SUITES ?=
TIME ?= 20s
BENCH ?= .
COUNT ?= 1

# Linters come from a module of their own (tools/go.mod) and never move the product's versions.
TOOL := go tool -modfile=tools/go.mod

.PHONY: help
help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build ./bin/quipu, a static binary
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -o bin/quipu .

.PHONY: run
run: build ## build and serve; ARGS="--addr :9000 --data /tmp/q" passes flags
	exec ./bin/quipu serve $(ARGS)

.PHONY: demo
demo: build ## show the product in a few seconds; ARGS=-keep leaves server and stub running
	@# With the flags of build, so that a first build compiles what both need once.
	CGO_ENABLED=0 go run -trimpath ./examples/demo -binary bin/quipu $(ARGS)

.PHONY: test
test: ## run every test, suite by suite; SUITES="domain infra" picks some
	go run ./internal/testsum $(SUITES)

.PHONY: race
race: ## run every test with the race detector
	go run ./internal/testsum -race -timeout 10m $(SUITES)

.PHONY: bench
bench: ## measure the binary and its parts beside the machine's raw limits; ARGS="-seconds 60 -only flows"
	go run ./bench $(ARGS)

.PHONY: bench-postgres
bench-postgres: ## measure views in Postgres at 10,000,000 events; ARGS="-events 1000000" for less
	go run ./bench -postgres $(ARGS)

.PHONY: bench-cluster
bench-cluster: ## measure one and three nodes on a log server, Postgres and NATS beside the embedded profile; ARGS="-seconds 60"
	go run ./bench/cluster $(ARGS)

.PHONY: microbench
microbench: ## run the Go benchmarks; BENCH=regexp COUNT=n
	go test -run='^$$' -bench='$(BENCH)' -benchmem -count=$(COUNT) ./...

.PHONY: fuzz
fuzz: ## run each fuzz test for TIME (default 20s); crashers stay in testdata/fuzz
	@for pkg in $$(go list ./...); do \
		for name in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "fuzz $$pkg $$name"; \
			go test -run='^$$' -fuzz="^$$name\$$" -fuzztime=$(TIME) $$pkg; \
		done; \
	done

.PHONY: golden
golden: ## rewrite golden files and generated tables; review the diff
	go test $$(grep -rlE 'flag\.Bool\("update"' --include='*_test.go' . | xargs -n1 dirname | sort -u) -update

.PHONY: lint
lint: ## gofmt, vet, staticcheck and the house rules
	go vet ./...
	$(TOOL) staticcheck ./...
	go test -count=1 -v -run='^TestRepository$$' ./internal/archtest

.PHONY: format
format: ## format all Go files
	$(TOOL) gofumpt -w $$(git ls-files '*.go' | grep -v /testdata/)

.PHONY: verify
verify: test race lint ## what must pass before a change is shared

.PHONY: verify-long
verify-long: verify ## verify, builds for macOS and BSD, 30,000 generated requests, 500 kills, 10,000 runs on a cluster, a copy of 1,000,000 events, longer fuzzing, each benchmark once
	for os in darwin freebsd; do GOOS=$$os CGO_ENABLED=0 go vet . ./app/... ./cli/... ./infra/...; done
	go test -count=1 -timeout 20m -run='^TestExplore' ./internal/explore -rapid.checks=500
	WATERMILL_SUITE=long go test -count=1 -timeout 10m -run='^TestWatermillSuite' ./eventbus/logsub ./infra/nats ./infra/kafka
	CLUSTERTEST_RUNS=10000 CLUSTERTEST_COPY_EVENTS=1000000 go test -count=1 -timeout 40m ./internal/clustertest
	PROCTEST_KILLS=500 go test -count=1 -timeout 20m -run='^TestKill' ./internal/proctest
	$(MAKE) fuzz TIME=2m
	go test -run='^$$' -bench=. -benchtime=1x ./...

.PHONY: clean
clean: ## remove what build made
	rm -rf bin
