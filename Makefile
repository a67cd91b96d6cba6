# One target for each thing a person does here. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
UPSTREAM ?=
OAPI_CODEGEN = go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: openapi
openapi: ## make openapi/openapi.yaml from Mistral's full document: make openapi UPSTREAM=path
	@test -n "$(UPSTREAM)" || { echo "make openapi: say where Mistral's full OpenAPI document is: make openapi UPSTREAM=path/to/openapi.yaml"; exit 2; }
	go run ./openapi/trim -upstream "$(UPSTREAM)" -overlay openapi/overlay.yaml -o openapi/openapi.yaml

.PHONY: generate
generate: ## run oapi-codegen: generated/ from openapi/openapi.yaml
	$(OAPI_CODEGEN) -config generated/client.cfg.yaml openapi/openapi.yaml
	$(OAPI_CODEGEN) -config generated/server.cfg.yaml openapi/openapi.yaml
