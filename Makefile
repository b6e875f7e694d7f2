# Two commands: `make demo` and `make test`. Both set up everything that they need in .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check bench lock clean
.DELETE_ON_ERROR:

.venv/.ready: requirements.lock bootstrap.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.x")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r bootstrap.lock
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

# Three linked nodes with sample data; stops with Ctrl-C. DEMO="--hsds FILE --dir DIR --port 8700" passes options on.
demo: .venv/.ready
	@$(BIN)/federation demo $(DEMO)

# Lint, types, import contracts, every test, coverage of the parts that must be covered whole.
test: .venv/.ready check
	@$(BIN)/python tests/run.py

check: .venv/.ready
	$(BIN)/ruff check federation tests benchmarks
	$(BIN)/ruff format --check federation tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.ready
	@$(BIN)/python -m benchmarks

# Renews both lock files from pyproject.toml.
lock: .venv/.ready
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra dev pyproject.toml -o requirements.lock
	grep -E '^uv==' requirements.lock | cut -d' ' -f1 | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header - -o bootstrap.lock

clean:
	rm -rf .venv demo
