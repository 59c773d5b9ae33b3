# Two commands do everything on a fresh machine with Python and make:
#   make demo   runs the whole job on an invented study and prints where the report is
#   make test   passes the tests
# Each makes its own .venv first; the second run of either does no set-up again.

PYTHON ?= python3
BIN := .venv/bin
PARALLEL := -n auto --dist loadfile
# One worker a core: more BLAS threads than cores wait for one another.
export OPENBLAS_NUM_THREADS ?= 1
SETUP := pyproject.toml constraints.txt Makefile

.PHONY: demo test slow lint ui clean validation benchmarks

demo: .venv/ready-to-run
	$(BIN)/lcwaves demo

test: .venv/ready-to-test
	$(BIN)/python -m pytest $(PARALLEL)

slow: .venv/ready-to-test
	$(BIN)/python -m pytest -m slow $(PARALLEL)

lint: .venv/ready-to-test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

# Writes analyses/lmm/VALIDATION.md: agreement with R and error rates in simulation.
validation: .venv/ready-to-test
	$(BIN)/python -m tests.benchmarks.validation

# Writes tests/benchmarks/SPEED.md. MIXEDLM names a Python that has that package.
benchmarks: .venv/ready-to-test
	$(BIN)/python -m tests.benchmarks.speed $(if $(MIXEDLM),--mixedlm $(MIXEDLM))

ui: .venv/ready-to-run
	$(BIN)/lcwaves ui

clean:
	rm -rf .venv studies

.venv/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"lcwaves needs Python 3.11 to 3.13, found {v[0]}.{v[1]}. Name another: make PYTHON=python3.12 demo")'
	$(PYTHON) -m venv .venv

.venv/ready-to-run: .venv/bin/python $(SETUP)
	@echo "Setting up .venv (once; takes some minutes)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/ready-to-test: .venv/bin/python $(SETUP)
	@echo "Setting up .venv for the tests (once; takes some minutes)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch .venv/ready-to-run $@
