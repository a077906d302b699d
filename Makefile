# tenant-registry. `make` alone says what there is.
SHELL := /bin/sh
.DEFAULT_GOAL := help
GO ?= go
VERSION ?= dev
IMAGE ?= tenant-registry:$(VERSION)
BUILD_IMAGE ?= golang:1.26
BASE_IMAGE ?= gcr.io/distroless/static-debian12:nonroot
GOPROXY ?= $(shell $(GO) env GOPROXY)
LDFLAGS := -X main.version=$(VERSION)
# The race detector needs a C compiler; where there is none the tests run without it and say so.
RACE := $(shell if command -v gcc >/dev/null 2>&1 || command -v clang >/dev/null 2>&1; then echo -race; fi)

##@ Run
.PHONY: dev
dev: build ## serve on :8090 with sample data in memory (DATABASE_URL: with Postgres)
	@APP_ENV=dev exec ./bin/tenant-registry

.PHONY: seed
seed: build ## put the sample data into the development database of DATABASE_URL
	@APP_ENV=dev ./bin/tenant-registry seed

.PHONY: build
build: ## compile to ./bin/tenant-registry and ./bin/migrate
	@$(GO) build -ldflags '$(LDFLAGS)' -o bin/tenant-registry ./cmd/server
	@$(GO) build -o bin/migrate ./cmd/migrate

.PHONY: image
image: ## build the container image (BUILD_IMAGE, BASE_IMAGE, GOPROXY, IMAGE, VERSION)
	docker build $(DOCKER_FLAGS) --build-arg BUILD_IMAGE=$(BUILD_IMAGE) --build-arg BASE_IMAGE=$(BASE_IMAGE) \
		--build-arg GOPROXY=$(GOPROXY) --build-arg VERSION=$(VERSION) -t $(IMAGE) .

##@ Test
.PHONY: test
test: test-postgres ## all tests; finds a Postgres by itself
	@[ -n "$(RACE)" ] || echo "no C compiler here: the tests run without the race detector"
	@report=$$(mktemp); TEST_POSTGRES_REPORT=$$report $(GO) test $(RACE) $(TESTFLAGS) ./...; code=$$?; \
		sort $$report | uniq -c; rm -f $$report; exit $$code

.PHONY: test-short
test-short: ## the tests that need neither Docker nor Postgres
	$(GO) test $(RACE) -short $(TESTFLAGS) ./...

# Where the tests' Postgres comes from is decided by internal/store/postgres/postgrestest. This only installs what is
# missing, where this machine allows it.
.PHONY: test-postgres
test-postgres:
	@.ci/postgres

.PHONY: check
check: ## what a pull request must pass: format, vet, staticcheck, tidy, generated copies, short tests
	@unformatted=$$(gofmt -l cmd internal migrations *.go); \
		[ -z "$$unformatted" ] || { echo "gofmt these: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff
	$(GO) test -count=1 -run 'TestGenerated' .
	$(GO) test -short ./...

.PHONY: bench
bench: ## ratios to a bare server and to pgbench, in 8 minutes (BENCHFLAGS='-rounds 3 -only verify')
	@$(GO) run ./cmd/bench $(BENCHFLAGS)

.PHONY: bench-shares
bench-shares: ## an innocent caller beside a hostile one, for each shared resource, in 4 minutes
	@$(GO) run ./cmd/bench -shares -seconds 10 $(BENCHFLAGS)

.PHONY: generate
generate: ## copy openapi.yaml to where the server embeds it, and as JSON
	$(GO) test -count=1 -run 'TestGenerated' . -update

##@ Schema (DATABASE_URL; MIGRATE_DATABASE_URL if that goes through a pooler)
.PHONY: migrate-up
migrate-up: ## apply all pending migrations
	@$(GO) run ./cmd/migrate up

.PHONY: migrate-version
migrate-version: ## the current version
	@$(GO) run ./cmd/migrate version

.PHONY: migrate-down
migrate-down: ## roll back the most recent migration (APP_ENV=dev only)
	@$(GO) run ./cmd/migrate down

.PHONY: migrate-down-all
migrate-down-all: ## wipe everything (APP_ENV=dev only)
	@$(GO) run ./cmd/migrate down-all

.PHONY: migrate-create
migrate-create: ## create the next pair of empty migration files (NAME=add_team_table)
	@test -n "$(NAME)" || { echo 'usage: make migrate-create NAME=add_team_table' >&2; exit 2; }
	@$(GO) run ./cmd/migrate create "$(NAME)"

##@ Other
.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
