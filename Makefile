# Everything a newcomer types. Each target makes what it needs in .venv; none needs root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
ONLY ?=

# Commands are started hundreds of times; without bytecode each start would compile them anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check bench lock clean

help: ## show this
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-6s %s\n", $$1, $$2}'

demo: $(VENV)/.demo ## the whole loop on the reference shop, with a report (ARGS=--keep leaves it up)
	@$(BIN)/storewatch demo $(ARGS)

test: $(VENV)/.test ## all tests, on real servers (ARGS="-k backup" for some)
	@tests/chromium.sh
	@tests/all.sh $(ARGS)

check: $(VENV)/.test ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bench: $(VENV)/.test ## every performance claim beside its peer (ONLY=name for one)
	@$(BIN)/python -m benchmarks $(ONLY)

lock: ## pin what pyproject.toml asks for, with hashes (needs pip-tools on PATH)
	for extra in "" demo "demo,test"; do \
	  pip-compile -q --upgrade --generate-hashes --strip-extras --allow-unsafe --no-header --no-annotate \
	    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host $${extra:+--extra $$extra} \
	    -o requirements$${extra:+-$${extra##*,}}.lock pyproject.toml || exit 1; \
	done

clean: ## remove .venv and what tools left; the state folder stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "Python 3.11 or newer is needed; name one: make PYTHON=/usr/bin/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); \
	  echo "$(PYTHON) cannot make a virtual environment; as root: apt-get install python3-venv"; exit 1; }

$(VENV)/.demo: requirements-demo.lock pyproject.toml | $(BIN)/python
	@echo "installing the demo's packages into $(VENV) (about a minute) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-demo.lock 2>&1 | { grep -v '^WARNING: Location' || true; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e . 2>&1 | { grep -v '^WARNING: Location' || true; }
	@$(BIN)/storewatch --version && touch $@

$(VENV)/.test: requirements-test.lock $(VENV)/.demo
	@echo "installing the packages for tests into $(VENV) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-test.lock 2>&1 | { grep -v '^WARNING: Location' || true; }
	@$(BIN)/python -m pytest --version && touch $@
