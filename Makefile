# make demo    from nothing to a judged policy: sets up .venv, then runs the whole pipeline
#              (RECIPE=smoke for its smallest form; TOUCHLINE_HOME=/elsewhere for another home)
# make test    sets up .venv, then runs every test
# make lint    ruff and mypy
# make docs    the documentation as a site, in site/
# make upgrade resolves newer versions within pyproject's ranges and pins them in constraints.txt

# The first interpreter that is new enough; another one: make demo PYTHON=/path/to/python3
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,\
	$(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $(p))))
VENV := .venv
RECIPE ?= laptop
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Modules are compiled as they are first imported, where that is kept: to compile all that is installed takes minutes.
COMPILE := $(if $(PYTHONDONTWRITEBYTECODE),--compile,--no-compile)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(COMPILE) -c constraints.txt
DEV := $(VENV)/.installed-for-development
TESTS := $(VENV)/.installed-for-tests
CHECKED := src tests benchmarks examples noxfile.py mkdocs_hooks.py .ci/release
DOCS := $(VENV)/.installed-for-docs

.PHONY: demo test lint docs upgrade clean
.DEFAULT_GOAL := demo

demo: $(STAMP)
	@$(BIN)/touchline run pipeline --recipe $(RECIPE)

test: $(TESTS)
	@$(BIN)/python -m pytest -m "" -n 3 --dist loadfile --no-loadscope-reorder --durations=10

lint: $(DEV)
	@$(BIN)/ruff check $(CHECKED)
	@$(BIN)/ruff format --check $(CHECKED)
	@$(BIN)/mypy

docs: $(DOCS)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "The documentation is in site/index.html"

$(STAMP): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then \
	  echo "Touchline needs Python 3.11 or newer, and there is none on the PATH (python3 is $$(python3 -V 2>&1))."; \
	  echo "On Debian 12 or Ubuntu 24.04: apt-get install python3 python3-venv. Or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; \
	  exit 1; fi
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
	  v=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  echo "$(PYTHON) cannot make a virtual environment: Debian and Ubuntu keep that part in a package of its own."; \
	  echo "Install it with: apt-get install python$$v-venv"; \
	  exit 1; fi
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || \
	  { echo "Making $(VENV) with $(PYTHON)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "Installing the pinned dependencies into $(VENV); this takes minutes the first time"
	@$(PIP) -e '.[all]'
	@touch $(STAMP)

$(DEV): $(STAMP)
	@echo "Installing what Touchline is developed with"
	@$(PIP) -e '.[dev]'
	@touch $(DEV)

$(TESTS): $(DEV)
	@echo "Installing the libraries whose integrations are tested"
	@$(PIP) -e '.[integrations]'
	@touch $(TESTS)

$(DOCS): $(STAMP)
	@echo "Installing what builds the documentation"
	@$(PIP) -e '.[docs]'
	@touch $(DOCS)

upgrade:
	@[ -x $(BIN)/python ] || { echo "There is no $(VENV) yet: make test"; exit 1; }
	@$(BIN)/python -m pip install --quiet --upgrade --upgrade-strategy eager -e '.[all,dev,docs,integrations]'
	@{ head -2 constraints.txt; $(BIN)/python -m pip freeze --all --exclude-editable | sed -e '/^pip==/d' -e 's/+cpu$$//'; } > constraints.new
	@mv constraints.new constraints.txt

clean:
	@rm -rf $(VENV) site .touchline .mypy_cache .ruff_cache .pytest_cache
