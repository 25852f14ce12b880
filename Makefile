# One target for each thing that a newcomer does. `make` alone lists them.
# Everything is installed into the checkout: .venv/, node_modules/, .cache/ (or the folder that CAUSEWAY_CACHE names).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CACHE := $(or $(CAUSEWAY_CACHE),.cache)
PACKAGES := adapters api bridge cli contracts foundation infra mpc registry settlement

# A stamp is as old as the last successful run of its step; the step runs again when what it read is newer.
PYTHON_STAMP := $(VENV)/.installed
NODE_STAMP := node_modules/.installed
NODES_STAMP := $(CACHE)/.nodes-ready
CONTRACTS_STAMP := contracts/build/.built

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

.PHONY: setup
setup: $(PYTHON_STAMP) $(NODE_STAMP) $(NODES_STAMP) $(CONTRACTS_STAMP) ## install everything into the checkout
	@:

$(PYTHON_STAMP): requirements/dev.lock pyproject.toml
	@if [ ! -x $(BIN)/python ]; then
	    command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not there; install Python 3.11 or newer" >&2; exit 1; }
	    $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
	        echo "make: $(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.11 setup" >&2; exit 1; }
	    echo "Making the virtual environment"
	    $(PYTHON) -m venv $(VENV) || {
	        rm -rf $(VENV)
	        echo "make: $(PYTHON) cannot make a virtual environment; on Debian: apt install python3-venv" >&2; exit 1; }
	fi
	echo "Installing the Python packages"
	$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# Without npm the step is passed over: anvil may be on PATH or in Docker, and the next step says so where it is not.
$(NODE_STAMP): package.json package-lock.json
	@mkdir -p node_modules
	if command -v npm >/dev/null; then
	    echo "Installing anvil, and the JavaScript that tests talk to"
	    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	fi
	touch $@

$(NODES_STAMP): infra/debian.py infra/programs.py | $(PYTHON_STAMP) $(NODE_STAMP)
	@echo "Looking for bitcoind, anvil and PostgreSQL"
	$(BIN)/python -m infra.setup
	mkdir -p $(@D)
	touch $@

$(CONTRACTS_STAMP): $(wildcard contracts/*.py contracts/*.vy contracts/*/*.vy) | $(PYTHON_STAMP)
	@echo "Compiling the contracts"
	$(BIN)/python -m contracts.build
	mkdir -p $(@D)
	touch $@

.PHONY: demo
demo: setup ## run the main job on a live network (KEEP=1 leaves the network running)
	@$(BIN)/python -m cli.demo $(if $(KEEP),--keep)

.PHONY: demo-settlement
demo-settlement: setup ## let two banks pay each other over two ledgers, step by step (KEEP=1 leaves it running)
	@$(BIN)/python -m cli.demo_settlement $(if $(KEEP),--keep)

.PHONY: demo-swap
demo-swap: setup ## let two people swap 20 ETH for 1 BTC, step by step (PRIVATE=1: by a point, which nobody can link)
	@$(BIN)/python -m cli.demo_swap $(if $(PRIVATE),--private)

.PHONY: test
test: setup ## run the whole test suite, real nodes included, on two cores
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

.PHONY: test-fast
test-fast: setup ## run the quick tests that start no node, on two cores
	@# Without what compilers and fuzzers add to pytest: to import them takes seconds in each process.
	$(BIN)/python -m pytest tests/unit tests/property tests/conformance -m "not integration and not slow" -n 2 \
	    -p no:boa_test -p no:schemathesis $(PYTEST_ARGS)

.PHONY: lint
lint: $(PYTHON_STAMP) ## check format, style, types and the layers
	@$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: fmt
fmt: $(PYTHON_STAMP) ## format the code and mend what can be mended by itself
	@$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: bench
bench: setup ## measure, print a table, write JSON to benchmarks/out/
	@$(BIN)/python -m benchmarks.run $(BENCH_ARGS)

.PHONY: lock
lock: $(PYTHON_STAMP) ## pin the dependencies anew
	@compile() {
	    $(BIN)/uv pip compile --quiet pyproject.toml --python-version 3.11 --generate-hashes \
	        --no-emit-index-url --no-emit-find-links --no-header $(LOCK_ARGS) "$$@"
	}
	compile --extra dev --output-file requirements/dev.lock
	# Held to the other's versions: what runs in production is what was tested.
	compile --constraints requirements/dev.lock --output-file requirements/runtime.lock
	npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund --loglevel=error
	# Whom its packages ask for money says nothing of what is installed.
	node -e 'const file = "package-lock.json", fs = require("fs"), lock = JSON.parse(fs.readFileSync(file));
	    for (const one of Object.values(lock.packages)) delete one.funding;
	    fs.writeFileSync(file, JSON.stringify(lock, null, 2) + "\n");'

.PHONY: clean
clean: ## remove what was built and measured; the installed packages and the cache stay
	@rm -rf contracts/build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache benchmarks/out
	find $(PACKAGES) tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: clean-all
clean-all: clean ## remove also the virtual environment, node_modules and the cache in the checkout
	@rm -rf $(VENV) node_modules .cache
