# Two commands: `make demo` and `make test`. Both set up everything that they need in .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check bench lock clean
.DELETE_ON_ERROR:
# Without kept bytecode every process compiles all that it imports: 2 s of each command and of each node's start.
unexport PYTHONDONTWRITEBYTECODE

.venv/.ready: locks/bootstrap.txt locks/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.x")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r locks/bootstrap.txt
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes locks/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q federation
	@touch $@

# Three linked nodes with sample data; stops with Ctrl-C. DEMO="--hsds FILE --dir DIR --port 8700" passes options on.
demo: .venv/.ready
	@$(BIN)/federation demo $(DEMO)

# Programs that nobody here wrote, for tests/conformance; they need Node.js.
PROGRAMS := tests/conformance/node_modules/.ready
$(PROGRAMS): tests/conformance/package-lock.json
	@if command -v npm > /dev/null; then (cd $(<D) && npm ci --silent --ignore-scripts) && touch $@; \
	else echo "Node.js is missing: tests/conformance is skipped"; fi

# Lint, types, import contracts, every test, coverage of the parts that must be covered whole: their own tests cover them,
# so that no other test is traced, which would take as long again. The tests of a file stay together, so that what they
# share is made once; files start in order, the running demonstrations first. TESTS="…" runs a part, untraced.
COVERING := tests/policies tests/test_gate.py tests/test_gate_feed.py tests/test_intake.py
WORKERS := 2
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -q
test: .venv/.ready $(PROGRAMS) check
ifdef TESTS
	$(PYTEST) $(TESTS)
else
	$(PYTEST) tests $(addprefix --ignore=,$(COVERING))
	$(PYTEST) --cov --cov-report=term-missing:skip-covered $(COVERING)
endif

check: .venv/.ready
	$(BIN)/ruff check federation tests benchmarks
	$(BIN)/ruff format --check federation tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.ready
	@$(BIN)/python -m benchmarks

# Renews the lock files from pyproject.toml: all for development, what a node runs, and what installs and builds.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
lock: .venv/.ready
	$(COMPILE) --extra dev --extra passkeys pyproject.toml -o locks/dev.txt
	$(COMPILE) pyproject.toml -c locks/dev.txt -o locks/run.txt
	grep -E '^(uv|hatchling|editables)==' locks/dev.txt | cut -d' ' -f1 | $(COMPILE) - -c locks/dev.txt -o locks/bootstrap.txt

clean:
	rm -rf .venv demo tests/conformance/node_modules
