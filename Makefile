# Every chore has one name here; the work itself is in scripts/ (so that CI and hands run the same thing) and xtask/.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run build pages test flaky bench fuzz soak lint fmt docs clean

help: ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

run: ## Build and start the server on 127.0.0.1:8000 with its data in ./data. ARGS="--listen 0.0.0.0:9000" adds flags.
	@scripts/run.sh $(ARGS)

build: ## Build the pages and the release binary, target/release/ddx.
	@scripts/build.sh

pages: ## Build only the pages, into web/dist.
	@scripts/build.sh pages

test: ## Install what tests need, build all, run all tests of all languages; ends with totals.
	@python3 scripts/gate.py test

flaky: ## Repeat all tests ROUNDS times (10), none tried again, and count failures. BUSY=1 keeps the cores busy; ONLY="rust restart::" chooses.
	@ROUNDS="$(ROUNDS)" BUSY="$(BUSY)" ONLY="$(ONLY)" python3 scripts/flaky.py

bench: ## Our server, the floor and the peers in turn, in the same boxes. QUICK=1 takes five minutes; ARGS="--only one,small" chooses.
	@QUICK="$(QUICK)" scripts/bench.sh $(ARGS)

fuzz: ## Fuzz every reader of foreign bytes for FUZZ_SECONDS each (30). NAMES="tus head" takes only these.
	@python3 scripts/fuzz.py $(NAMES)

soak: ## The long forms of the tests with faults: 100,000 simulated lives, 200 kills and more. ONLY="kill network" chooses.
	@ONLY="$(ONLY)" scripts/soak.sh

lint: ## Formatting, clippy, rustdoc, licences, unused dependencies, spelling, the rules of the house.
	@python3 scripts/gate.py lint

fmt: ## Format the Rust sources.
	@cargo fmt --all

docs: ## Write the generated documents anew (CONFIGURATION, ERRORS and METRICS in docs/).
	@cargo xtask docs

clean: ## Remove what builds left behind (not ./data).
	@cargo clean
	@rm -rf web/dist web/node_modules tests/clients/node_modules
