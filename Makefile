# make serve: try it.  make test: check everything.  make test-fast: the part that needs no system package.
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: setup serve test test-fast check lock clean

setup: $(BIN)/.installed
	$(BIN)/authsvc db upgrade

serve: setup
	$(BIN)/authsvc serve

test: $(BIN)/.installed $(BIN)/.installed-for-tests check
	scripts/system-packages test
	$(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal --cov --cov-report=
	$(BIN)/coverage report --fail-under 90
	$(BIN)/coverage report --fail-under 100 --include 'authsvc/policy/*'

test-fast: $(BIN)/.installed $(BIN)/.installed-for-tests check
	$(BIN)/pytest --fast -n auto --maxprocesses 4 --dist worksteal

check:
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/mypy

# Pins and hashes only: the files name no address to download from.
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host
lock: $(BIN)/.installed
	$(PIP) pip-tools
	$(COMPILE) --build-deps-for=editable --output-file requirements.txt pyproject.toml
	$(COMPILE) --output-file requirements-test.txt requirements-test.in

clean:
	rm -rf .venv

# The stamps make a repeated set-up quick.
$(BIN)/python:
	scripts/venv

$(BIN)/.installed: $(BIN)/python requirements.txt pyproject.toml
	@echo "Installing the pinned dependencies"
	$(PIP) --require-hashes --requirement requirements.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(BIN)/.installed-for-tests: $(BIN)/.installed requirements-test.txt
	$(PIP) --require-hashes --requirement requirements-test.txt
	@touch $@
