# One target for each thing a person does here. `make help` lists them.
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
# Modules of their own, so that the SDK's users do not inherit what they need.
NESTED = simulation openapi/specdiff limiter/redislimiter runner/mcptools examples/shared examples/observability examples/mcp

GOLANGCI_LINT = go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

# An address of a Redis does for examples/shared. Tests that stop, hang or restart one need a server's program.
REDIS_SERVER = $(shell command -v redis-server valkey-server)
HAVE_REDIS = $(REDIS_SERVER)$(REDIS_URL)

ifeq (,$(shell command -v go))
$(error go is not on the PATH: install Go 1.25 or later, https://go.dev/doc/install)
endif

# For recipes that use the race detector, which the go command does not bring all of.
define needs_c
@test "$$(go env CGO_ENABLED)" = 1 || { echo "make $@: the race detector needs a C compiler on the PATH (apt-get install gcc, or xcode-select --install) and CGO_ENABLED unset or 1"; exit 2; }
endef

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## ask, continue and stream a conversation: no key needed
	env -u MISTRAL_API_KEY go run ./examples/quickstart </dev/null

.PHONY: test
test: ## run every test, with the race detector
	$(needs_c)
	go test -race -shuffle=on -timeout 20m ./...
	@set -e; for module in $(NESTED); do echo "== $$module"; go -C $$module test -race -shuffle=on -timeout 20m ./...; done
ifeq (,$(REDIS_SERVER))
	@echo "make test: NOT TESTED: what limiter/redislimiter does when Redis hangs, restarts, fails over or is a Cluster, and examples/shared$(if $(REDIS_URL),,; and nothing against a real Redis, as REDIS_URL is not set either)"
	@echo "make test: they need a redis-server or valkey-server on the PATH (apt-get install redis-server, or brew install redis)"
endif

.PHONY: interop
interop: ## have Mistral's TypeScript client use the emulator, and a run the reference server of MCP, where Node.js is
	$(needs_c)
	go test -race -count=1 -v ./emulator/interop
	go -C runner/mcptools test -race -count=1 -v ./interop

.PHONY: simulate
simulate: ## run the limiter against simulated servers: a table, and simulation/chart.svg
	cd simulation && go run .

.PHONY: shared
shared: ## have 8 processes share one limit through Redis, 2 minutes for each way to count: six tables, judged
	cd examples/shared && go run . -processes 8 -callers 50 -for 2m -mode all -load all

.PHONY: bench
bench: ## run the benchmarks; "x-…" is the ratio to the baseline of the same run
	go test -run '^$$' -bench . -benchmem ./...
	cd limiter/redislimiter && go test -run '^$$' -bench . -benchmem ./...

# The targets for what comes from outside: streams, events, headers, error bodies,
# configurations, ids and URLs. All others have FUZZTIME_OTHERS.
OUTSIDE = FuzzDecoder FuzzDecode FuzzRetryAfter FuzzServerState FuzzAPIError FuzzMismatch FuzzUnmarshal FuzzNew FuzzParse FuzzPath FuzzHTTP FuzzRestore

# When the time is up while a worker is at an input, the go command may fail with "context deadline exceeded" and write no
# input (golang/go#75804). Such a run is repeated; an input that hangs fails each time.
.PHONY: fuzz
fuzz: ## fuzz what comes from outside for FUZZTIME (60s) a target, the rest for FUZZTIME_OTHERS (10s)
	@set -eo pipefail; log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	for file in $$(grep -rl --include='*_test.go' --exclude-dir=node_modules '^func Fuzz' . | sort); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\).*/\1/p' $$file); do \
			case " $(OUTSIDE) " in *" $$target "*) time=$(FUZZTIME);; *) time=$(FUZZTIME_OTHERS);; esac; \
			for run in 1 2 3; do \
				echo "$$target in $$(dirname $$file) for $$time"; \
				if go test -run '^$$' -fuzz "^$$target$$" -fuzztime $$time -fuzzminimizetime 100x $$(dirname $$file) 2>&1 | tee "$$log"; then break; fi; \
				if [ $$run = 3 ] || grep -q 'Failing input' "$$log" || ! grep -qx ' *context deadline exceeded' "$$log"; then exit 1; fi; \
			done; \
		done; \
	done

.PHONY: soak
soak: ## 2,000 calls through a fault proxy, then 500 callers under changing limits for MINUTES (3): does all accounting agree?
	$(needs_c)
	go run -race ./internal/cmd/soak -minutes $(MINUTES) -seed $(SEED)

.PHONY: examples
examples: ## run every example against the emulator
	@set -e; for example in examples/*/; do echo "== $$example"; \
		if [ "$$example" = examples/shared/ ] && [ -z "$(HAVE_REDIS)" ]; then echo "not run: it needs a Redis (apt-get install redis-server)"; continue; fi; \
		env -u MISTRAL_API_KEY go -C "$$example" run . </dev/null; done

.PHONY: live
live: ## ask the real API what its documentation leaves open: about 25 small calls, with MISTRAL_API_KEY; exchanges in OUT
	go run ./internal/cmd/live -o "$(OUT)"

.PHONY: pictures
pictures: ## draw docs/bucket.svg and docs/terminal.svg, the two token buckets at work
	go run ./examples/visualize -o docs/bucket.svg -terminal docs/terminal.svg

.PHONY: cross
cross: ## build everything for Windows and macOS
	@set -e; for system in windows darwin; do for module in . $(NESTED); do echo "== $$system $$module"; \
		GOOS=$$system go -C $$module build -o /dev/null ./...; done; done

.PHONY: lint
lint: ## vet, and golangci-lint built by the go command
	go vet ./...
	$(GOLANGCI_LINT) run ./...
	@set -e; for module in $(NESTED); do echo "== $$module"; \
		(cd $$module && go vet ./... && $(GOLANGCI_LINT) run --config "$(CURDIR)/.golangci.yml" ./...); done

.PHONY: openapi
openapi: ## make openapi/openapi.yaml from the vendor's full document: UPSTREAM=path, and its DATE
	@test -n "$(UPSTREAM)" || { echo "make openapi: say where Mistral's full OpenAPI document is: make openapi UPSTREAM=path/to/openapi.yaml"; exit 2; }
	go run ./openapi/trim -upstream "$(UPSTREAM)" -date "$(DATE)" -overlay openapi/overlay.yaml -o openapi/openapi.yaml

# The program is built first: "go run" would turn each of its exit statuses into 1. make turns all but 0 into 2.
.PHONY: spec-diff
spec-diff: ## say what upstream has changed since the committed document: UPSTREAM=path
	@test -n "$(UPSTREAM)" || { echo "make spec-diff: say where Mistral's full OpenAPI document is: make spec-diff UPSTREAM=path/to/openapi.yaml"; exit 2; }
	@set -e; bin=$$(mktemp -d); trap 'rm -rf "$$bin"' EXIT; \
	go -C openapi/specdiff build -o "$$bin/specdiff" .; \
	"$$bin/specdiff" -repo . -upstream "$(UPSTREAM)"

.PHONY: regenerate
regenerate: ## report what changed, then trim, generate and test, all in one: UPSTREAM=path
	@test -n "$(UPSTREAM)" || { echo "make regenerate: say where Mistral's full OpenAPI document is: make regenerate UPSTREAM=path/to/openapi.yaml"; exit 2; }
	@set -e; bin=$$(mktemp -d); trap 'rm -rf "$$bin"' EXIT; \
	go -C openapi/specdiff build -o "$$bin/specdiff" .; \
	"$$bin/specdiff" -repo . -upstream "$(UPSTREAM)" || test $$? -eq 1
	$(MAKE) openapi UPSTREAM="$(UPSTREAM)"
	$(MAKE) generate
	$(MAKE) test

.PHONY: generate
generate: ## run oapi-codegen: generated/ and internal/server/ from openapi/openapi.yaml
	$(OAPI_CODEGEN) -config generated/client.cfg.yaml -o generated/api.gen.go openapi/openapi.yaml
	$(OAPI_CODEGEN) -config generated/server.cfg.yaml -o internal/server/server.gen.go openapi/openapi.yaml
	go run ./openapi/comments generated/api.gen.go internal/server/server.gen.go
	go build ./generated ./internal/server

.PHONY: check-generated
check-generated: ## fail where a fresh run of the generator differs from what is there
	@set -e; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(OAPI_CODEGEN) -config generated/client.cfg.yaml -o "$$fresh/api.gen.go" openapi/openapi.yaml; \
	$(OAPI_CODEGEN) -config generated/server.cfg.yaml -o "$$fresh/server.gen.go" openapi/openapi.yaml; \
	go run ./openapi/comments "$$fresh/api.gen.go" "$$fresh/server.gen.go"; \
	diff -u generated/api.gen.go "$$fresh/api.gen.go" && diff -u internal/server/server.gen.go "$$fresh/server.gen.go" || \
		{ echo "make check-generated: what is generated is out of date: run make generate"; exit 1; }; \
	echo "what is generated is up to date"

.PHONY: check-modules
check-modules: ## fail where go.mod or go.sum is not tidy
	go mod tidy -diff
	@set -e; for module in $(NESTED); do go -C $$module mod tidy -diff; done

.PHONY: check-api
check-api: ## fail where the exported API breaks callers and CHANGELOG.md does not say so
	go run ./internal/cmd/apicheck

.PHONY: api-baseline
api-baseline: ## make the exported API as it is what make check-api compares with: at each release
	go run ./internal/cmd/apicheck -write

.PHONY: ci
ci: test interop lint cross check-generated check-modules check-api ## what CI runs: test, interop, lint, cross, check-generated, check-modules, check-api, fuzz for 12 s a target, soak for 2 minutes, examples
	$(MAKE) fuzz FUZZTIME=12s FUZZTIME_OTHERS=4s
	$(MAKE) soak MINUTES=2
	$(MAKE) examples

.DEFAULT:
	@echo "make: there is no target $@: make help lists them"; exit 2
