# Each target is one task of a developer. `make help` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
UPSTREAM ?=
DATE ?=
FUZZTIME ?= 60s
FUZZTIME_OTHERS ?= 10s
MINUTES ?= 3
OUT ?=
SEED ?= 1
GOLANGCI_LINT_VERSION = v2.15.0

OAPI_CODEGEN = go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen
# Separate modules, so that the SDK does not depend on their dependencies.
NESTED = simulation openapi/specdiff limiter/redislimiter runner/mcptools examples/shared examples/observability examples/mcp

GOLANGCI_LINT = go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

# examples/shared only needs a Redis URL. Tests that stop or restart a server need the server program.
REDIS_SERVER = $(shell command -v redis-server valkey-server)
HAVE_REDIS = $(REDIS_SERVER)$(REDIS_URL)

ifeq (,$(shell command -v go))
$(error go is not on the PATH: install Go 1.25 or later, https://go.dev/doc/install)
endif

# For recipes that use the race detector, which needs cgo.
define needs_c
@test "$$(go env CGO_ENABLED)" = 1 || { echo "make $@: the race detector needs a C compiler on the PATH (apt-get install gcc, or xcode-select --install) and CGO_ENABLED unset or 1"; exit 2; }
endef

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## start, continue and stream a conversation; no key needed
	env -u MISTRAL_API_KEY go run ./examples/quickstart </dev/null

.PHONY: test
test: ## run all tests with the race detector
	$(needs_c)
	go test -race -shuffle=on -timeout 20m ./...
	@set -e; for module in $(NESTED); do echo "== $$module"; go -C $$module test -race -shuffle=on -timeout 20m ./...; done
ifeq (,$(REDIS_SERVER))
	@echo "make test: NOT TESTED: limiter/redislimiter with a Redis that hangs, restarts, fails over or is a Cluster, and examples/shared$(if $(REDIS_URL),,; and no test used a real Redis, because REDIS_URL is not set)"
	@echo "make test: these tests need redis-server or valkey-server on the PATH (apt-get install redis-server, or brew install redis)"
endif

.PHONY: interop
interop: ## test the emulator with Mistral's TypeScript client, and package runner with the MCP reference server; needs Node.js
	$(needs_c)
	go test -race -count=1 -v ./emulator/interop
	go -C runner/mcptools test -race -count=1 -v ./interop

.PHONY: simulate
simulate: ## run the limiter against simulated servers: prints a table and draws simulation/chart.svg
	cd simulation && go run .

.PHONY: shared
shared: ## share one limit between 8 processes through Redis: six checked runs of 2 minutes
	cd examples/shared && go run . -processes 8 -callers 50 -for 2m -mode all -load all

.PHONY: bench
bench: ## run the benchmarks; "x-…" is the ratio to the baseline of the same run
	go test -run '^$$' -bench . -benchmem ./...
	cd limiter/redislimiter && go test -run '^$$' -bench . -benchmem ./...

# The targets for external input: streams, events, header fields, error responses, configurations,
# IDs and URLs. They run for FUZZTIME, all others for FUZZTIME_OTHERS.
EXTERNAL = FuzzDecoder FuzzDecode FuzzRetryAfter FuzzServerState FuzzAPIError FuzzMismatch FuzzUnmarshal FuzzNew FuzzParse FuzzPath FuzzHTTP FuzzRestore

# If the time ends while a worker runs an input, the go command may fail with "context deadline exceeded" without writing
# an input (golang/go#75804). The recipe repeats such a run; an input that hangs fails every time.
.PHONY: fuzz
fuzz: ## fuzz the targets for external input for FUZZTIME (60s) each, all others for FUZZTIME_OTHERS (10s)
	@set -eo pipefail; log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	for file in $$(grep -rl --include='*_test.go' --exclude-dir=node_modules '^func Fuzz' . | sort); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\).*/\1/p' $$file); do \
			case " $(EXTERNAL) " in *" $$target "*) time=$(FUZZTIME);; *) time=$(FUZZTIME_OTHERS);; esac; \
			for run in 1 2 3; do \
				echo "$$target in $$(dirname $$file) for $$time"; \
				if go test -run '^$$' -fuzz "^$$target$$" -fuzztime $$time -fuzzminimizetime 100x $$(dirname $$file) 2>&1 | tee "$$log"; then break; fi; \
				if [ $$run = 3 ] || grep -q 'Failing input' "$$log" || ! grep -qx ' *context deadline exceeded' "$$log"; then exit 1; fi; \
			done; \
		done; \
	done

.PHONY: soak
soak: ## make 2,000 calls through a fault proxy, then run 500 callers under changing limits for MINUTES (3); check all counts
	$(needs_c)
	go run -race ./internal/cmd/soak -minutes $(MINUTES) -seed $(SEED)

.PHONY: examples
examples: ## run every example against the emulator
	@set -e; for main in examples/*/main.go; do example=$$(dirname $$main); echo "== $$example"; \
		if [ $$example = examples/shared ] && [ -z "$(HAVE_REDIS)" ]; then echo "skipped: it needs Redis (apt-get install redis-server)"; continue; fi; \
		env -u MISTRAL_API_KEY go -C $$example run . </dev/null; done

.PHONY: live
live: ## test undocumented behavior of the real API with MISTRAL_API_KEY: about 25 small calls; writes requests and responses to OUT
	go run ./internal/cmd/live -o "$(OUT)"

.PHONY: pictures
pictures: ## draw docs/bucket.svg and docs/terminal.svg, the two token buckets at work
	go run ./examples/visualize -o docs/bucket.svg -terminal docs/terminal.svg

.PHONY: cross
cross: ## build all packages for Windows and macOS
	@set -e; for system in windows darwin; do for module in . $(NESTED); do echo "== $$system $$module"; \
		GOOS=$$system go -C $$module build -o /dev/null ./...; done; done

.PHONY: lint
lint: ## run go vet and golangci-lint
	go vet ./...
	$(GOLANGCI_LINT) run ./...
	@set -e; for module in $(NESTED); do echo "== $$module"; \
		(cd $$module && go vet ./... && $(GOLANGCI_LINT) run --config "$(CURDIR)/.golangci.yml" ./...); done

.PHONY: openapi
openapi: ## generate openapi/openapi.yaml from the vendor's full document; needs UPSTREAM=path and takes its DATE
	@test -n "$(UPSTREAM)" || { echo "make openapi: UPSTREAM must be the path of Mistral's full OpenAPI document: make openapi UPSTREAM=path/to/openapi.yaml"; exit 2; }
	go run ./openapi/trim -upstream "$(UPSTREAM)" -date "$(DATE)" -overlay openapi/overlay.yaml -o openapi/openapi.yaml

# The recipe builds the program first, because "go run" replaces every exit status other than 0 with 1. make replaces it
# with 2.
.PHONY: spec-diff
spec-diff: ## list the changes between the committed document and UPSTREAM=path
	@test -n "$(UPSTREAM)" || { echo "make spec-diff: UPSTREAM must be the path of Mistral's full OpenAPI document: make spec-diff UPSTREAM=path/to/openapi.yaml"; exit 2; }
	@set -e; bin=$$(mktemp -d); trap 'rm -rf "$$bin"' EXIT; \
	go -C openapi/specdiff build -o "$$bin/specdiff" .; \
	"$$bin/specdiff" -repo . -upstream "$(UPSTREAM)"

.PHONY: regenerate
regenerate: ## run spec-diff, openapi, generate and test; needs UPSTREAM=path
	@test -n "$(UPSTREAM)" || { echo "make regenerate: UPSTREAM must be the path of Mistral's full OpenAPI document: make regenerate UPSTREAM=path/to/openapi.yaml"; exit 2; }
	@set -e; bin=$$(mktemp -d); trap 'rm -rf "$$bin"' EXIT; \
	go -C openapi/specdiff build -o "$$bin/specdiff" .; \
	"$$bin/specdiff" -repo . -upstream "$(UPSTREAM)" || test $$? -eq 1
	$(MAKE) openapi UPSTREAM="$(UPSTREAM)"
	$(MAKE) generate
	$(MAKE) test

.PHONY: generate
generate: ## generate generated/ and internal/server/ from openapi/openapi.yaml with oapi-codegen
	$(OAPI_CODEGEN) -config generated/client.cfg.yaml -o generated/api.gen.go openapi/openapi.yaml
	$(OAPI_CODEGEN) -config generated/server.cfg.yaml -o internal/server/server.gen.go openapi/openapi.yaml
	go run ./openapi/comments generated/api.gen.go internal/server/server.gen.go
	go build ./generated ./internal/server

.PHONY: check-generated
check-generated: ## check that the generated code is up to date
	@set -e; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(OAPI_CODEGEN) -config generated/client.cfg.yaml -o "$$fresh/api.gen.go" openapi/openapi.yaml; \
	$(OAPI_CODEGEN) -config generated/server.cfg.yaml -o "$$fresh/server.gen.go" openapi/openapi.yaml; \
	go run ./openapi/comments "$$fresh/api.gen.go" "$$fresh/server.gen.go"; \
	diff -u generated/api.gen.go "$$fresh/api.gen.go" && diff -u internal/server/server.gen.go "$$fresh/server.gen.go" || \
		{ echo "make check-generated: the generated code is out of date: run make generate"; exit 1; }; \
	echo "the generated code is up to date"

.PHONY: check-modules
check-modules: ## check that every go.mod and go.sum is tidy
	go mod tidy -diff
	@set -e; for module in $(NESTED); do go -C $$module mod tidy -diff; done

.PHONY: check-api
check-api: ## check that CHANGELOG.md lists every breaking change of the exported API
	go run ./internal/cmd/apicheck

.PHONY: api-baseline
api-baseline: ## store the exported API as the baseline of check-api; only at a release
	go run ./internal/cmd/apicheck -write

.PHONY: ci
ci: test interop lint cross check-generated check-modules check-api ## run what CI runs: test, interop, lint, cross, all checks, fuzz for 12 s per target, soak for 2 minutes, and examples
	$(MAKE) fuzz FUZZTIME=12s FUZZTIME_OTHERS=4s
	$(MAKE) soak MINUTES=2
	$(MAKE) examples

.DEFAULT:
	@echo "make: unknown target $@: run make help to list the targets"; exit 2
