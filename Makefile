# Cairn. `make` builds, `make help` lists the rest.

GO      ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

# Tools and programs that Go can build are kept here, out of the machine's way.
# The tests find them because this directory leads PATH; without make, do the
# same: PATH=$PWD/.cache/bin:$PATH go test ./...
TOOLS := $(CURDIR)/.cache/bin
export PATH := $(TOOLS):$(PATH)

PEBBLE      := v2.10.1
STEPCA      := v0.30.2
STATICCHECK := v0.8.2
GOVULNCHECK := v1.9.0

.DEFAULT_GOAL := build
.PHONY: build man bench bench-go bench-clients test fuzz soak race lint vuln demo needs pebble step-ca help clean

build: ## bin/cairn and bin/cairnbot: static, reproducible
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false \
		-ldflags '-X main.version=$(VERSION)' -o bin/ ./cmd/cairn ./cmd/cairnbot

man: build ## manual pages in bin/man, and completion for bash, zsh and fish in bin/completion
	@mkdir -p bin/man bin/completion
	@for page in $$(bin/cairnbot man pages); do bin/cairnbot man $$page >bin/man/$$page.1 || exit; done
	@for shell in bash zsh fish; do bin/cairnbot completion $$shell >bin/completion/cairnbot.$$shell || exit; done

test: needs pebble step-ca build lint ## everything; installs what the tests need, as root or through sudo
	-@$(MAKE) --no-print-directory vuln
	@echo "scripts/demo"; said=$$(scripts/demo 2>&1) || { echo "$$said"; exit 1; }
	$(GO) test -timeout 20m ./...
	scripts/fuzz

fuzz: ## the fuzz functions of what reads the network, 20 s each (FUZZTIME=10m for more)
	scripts/fuzz

SOAK ?= 10m
soak: needs build ## a cluster under load whose parts break, twice for SOAK (10m): memory, descriptors, database and waits in the log
	$(GO) test ./cmd/cairn -run '^TestCluster(Outages|Networks)$$' -v -count=1 -timeout 0 -soak $(SOAK)

# Packages whose benchmarks are of one piece each; BENCH=JWS takes some of them.
PIECES := ./acme ./internal/ca/rules ./internal/ca/store ./internal/ca/front ./internal/ca/sign
BENCH  ?= .
COUNT  ?= 1
bench-go: ## the hot pieces, with allocations; for benchstat: COUNT=10 make bench-go > new.txt
	@$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime 300ms -count $(COUNT) $(PIECES)

race: needs pebble step-ca ## the tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -timeout 40m ./...

demo: build ## a CA, a certificate from it and a verified page, in a dozen lines
	@scripts/demo

bench: build pebble ## Cairn beside step-ca and Pebble, on this machine: a table (ROUNDS=, COUNT=, FILE=)
	@$(MAKE) --no-print-directory step-ca || echo "bench: step-ca $(STEPCA) cannot be built here"
	@STEPCA=$(STEPCA) PEBBLE=$(PEBBLE) ROUNDS=$(ROUNDS) COUNT=$(COUNT) FILE=$(FILE) scripts/bench

# tool,PACKAGE,VERSION: builds a program into TOOLS, once for each version.
tool = { [ -e $(TOOLS)/$(notdir $(1))@$(2) ] || \
	{ GOBIN=$(TOOLS) CGO_ENABLED=0 $(GO) install $(1)@$(2) && touch $(TOOLS)/$(notdir $(1))@$(2); }; }

CLIENTS ?= .
bench-clients: needs pebble ## cairnbot beside certbot and lego: start, one certificate, many (CLIENTS=NoneDue, COUNT=)
	@$(GO) test ./cmd/cairnbot -run '^$$' -bench '$(CLIENTS)' -benchtime 3x -count $(COUNT) -timeout 0

lint: ## gofmt, go vet, and staticcheck where it can be had
	@files=$$(gofmt -l $$($(GO) list -f '{{.Dir}}' ./...)) && if [ -n "$$files" ]; then \
		echo "lint: error: not as gofmt writes it:"; echo "$$files"; exit 1; fi
	$(GO) vet ./...
	@if $(call tool,honnef.co/go/tools/cmd/staticcheck,$(STATICCHECK)); then \
		echo "staticcheck ./..."; staticcheck ./...; \
	else echo "lint: staticcheck $(STATICCHECK) cannot be had here: left out"; fi

# What is published tomorrow must not break the tests of today: `make test`
# shows what this finds, and only `make vuln` itself fails.
vuln: ## known vulnerabilities in what we call, if their database can be reached
	@if ! curl -sSfo /dev/null --max-time 5 https://vuln.go.dev/index/db.json; then \
		echo "vuln: the database of vulnerabilities cannot be reached: left out"; \
	elif ! $(call tool,golang.org/x/vuln/cmd/govulncheck,$(GOVULNCHECK)); then \
		echo "vuln: govulncheck $(GOVULNCHECK) cannot be had here: left out"; \
	else echo "govulncheck ./..."; govulncheck ./...; fi

needs:
	@scripts/test-needs

pebble:
	@$(call tool,github.com/letsencrypt/pebble/v2/cmd/pebble,$(PEBBLE))

step-ca:
	@$(call tool,github.com/smallstep/certificates/cmd/step-ca,$(STEPCA))

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | expand -t 9

clean: ## removes what was built
	rm -rf bin .cache
