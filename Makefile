# The one door. `make demo`: set up, build, upload a real clip, publish it, say how to watch it. `make test`: all tests.
# Behind it stand cargo, deploy/setup-debian.sh and `cargo xtask` (deploy/xtask).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build demo up up-engines test test-engines check tidy gen golden bench chaos api

CLIP ?= fixtures/media/bbb-1080p60.mp4
OUT ?= out/demo
DATA ?= data
LISTEN ?= 127.0.0.1:8090
WATCH ?= 0
SUITE ?= criterion
SECONDS_MAX ?= 300
ENGINES ?= kafka redis postgres s3 temporal
CHAOS_CLIP ?= fixtures/media/phone-rotated270-2s.mp4

TARGET := $(or $(CARGO_TARGET_DIR),target)
MCSP := $(TARGET)/debug/mcsp
PHASE := ./deploy/phase.sh
CARGO_BUILD := cargo build --workspace --all-targets

# One build gives lints and binaries at once: clippy-driver stands in for rustc on our own crates, cargo keeps the warnings,
# `make check` makes errors of them.
ifndef RUSTC_WORKSPACE_WRAPPER
ifeq ($(shell clippy-driver --version >/dev/null 2>&1 && echo yes),yes)
export RUSTC_WORKSPACE_WRAPPER := clippy-driver
endif
endif

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand --tabs=14

setup: ## Install what a bare Debian 12 with git, make and Rust lacks
	./deploy/setup-debian.sh

build: ## Build everything once, with lints
	$(CARGO_BUILD)

demo: ## Start the platform, upload a real clip, publish it; WATCH=1 goes on running; CLIP=, OUT=, LISTEN= choose
	$(PHASE) set-up ./deploy/setup-debian.sh
	$(PHASE) build $(CARGO_BUILD)
	WATCH=$(WATCH) $(PHASE) demo ./deploy/demo.sh "$(MCSP)" "$(CLIP)" "$(OUT)" "$(LISTEN)"

up: ## Run the platform in ./data: every role on embedded engines; DATA= chooses
	$(PHASE) set-up ./deploy/setup-debian.sh
	$(PHASE) build $(CARGO_BUILD)
	$(MCSP) up --data "$(DATA)"

up-engines: ## Run the platform in ./data on Kafka, Redis, Postgres, S3 and Temporal, started beside it; DATA= chooses
	$(PHASE) set-up ./deploy/setup-debian.sh
	$(PHASE) build $(CARGO_BUILD)
	./deploy/engines/up.sh "$(abspath $(MCSP))" "$(DATA)"

test: ## Set up, build, run all tests, play in a real browser
	$(PHASE) set-up ./deploy/setup-debian.sh
	$(PHASE) build $(CARGO_BUILD)
	$(PHASE) tests cargo test --workspace --no-fail-fast
	$(PHASE) browser env MCSP_BIN="$(abspath $(MCSP))" npm test --prefix control-plane/web

test-engines: ## Run the suites that stand on real engines; ENGINES="kafka redis" chooses
	$(PHASE) set-up ./deploy/setup-debian.sh
	$(PHASE) engines ./deploy/engines/test.sh $(filter-out all,$(ENGINES))

check: ## Format, lints, arrows between crates, tidy, generated files
	$(PHASE) format cargo fmt --all --check
	$(PHASE) check cargo xtask check

tidy: ## The part of check that needs no build
	cargo fmt --all --check
	cargo xtask tidy

gen: ## Write the docs that are made from code
	cargo xtask gen

golden: ## Rewrite golden files and snapshots; review the diff as code
	UPDATE_GOLDEN=1 INSTA_UPDATE=always cargo test --workspace

chaos: ## Kill workers at random under load and look whether anything was lost; ENGINES=all: on the real ones, killed too
	$(PHASE) set-up ./deploy/setup-debian.sh
	$(PHASE) build $(CARGO_BUILD)
ifeq ($(ENGINES),all)
	./deploy/engines/engines.sh fetch
	$(PHASE) chaos $(TARGET)/debug/mcsp-chaos --platform $(CHAOS_CLIP) --servers --uploads 32 --kills 20 $(CHAOS_OPTIONS)
else
	$(PHASE) chaos $(TARGET)/debug/mcsp-chaos $(CHAOS_OPTIONS)
endif

api: ## Hold a running platform to its OpenAPI document with schemathesis; SECONDS_MAX= chooses
	$(PHASE) set-up ./deploy/setup-debian.sh
	$(PHASE) build $(CARGO_BUILD)
	$(PHASE) api env MCSP_BIN="$(MCSP)" ./deploy/check-api.sh $(SECONDS_MAX)

bench: ## SUITE=criterion: stations of the hot path; SUITE=peers: beside FFmpeg and Shaka Packager
ifeq ($(SUITE),peers)
	./deploy/setup-debian.sh --bench
	cargo xtask bench peers $(BENCH_OPTIONS)
else ifeq ($(SUITE),criterion)
	./deploy/setup-debian.sh
	env --unset=RUSTC_WORKSPACE_WRAPPER cargo bench --package mcsp-benches $(BENCH_OPTIONS)
else
	$(error SUITE=$(SUITE) is unknown: peers or criterion)
endif
