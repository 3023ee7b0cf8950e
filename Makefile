# Two commands matter: `make run` starts the relay, `make test` runs every test. Both set up what they need,
# inside this checkout only, and a second run of either asks nothing of the network.
#
#   make run ARGS="--port 8000"        flags for the relay
#   make test ARGS="-k interrupted"    flags for pytest
#
# Stamps: .venv/.made says that the environment is whole, .venv/.run, .venv/.voice and .venv/.test that it matches
# pyproject.toml, .venv/.local that the local voice's models are there, tests/.tools/.stamp that the programs are there which judge deploy/, tests/node_modules/.stamp that the
# test tools and the official clients match their lock file.

SHELL := /bin/sh
.DELETE_ON_ERROR:
.PHONY: help install run test soak bench lint format clean

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
NODE_TOOLS := tests/node_modules
PROXIES := tests/.tools
ARGS ?=
# Tests wait more than they reckon: so many at a time, on two cores (`tests/conftest.py` says which never meet). Those
# that judge sound in a browser run before, by themselves. pytest's exit code 5 says that ARGS chose none of them.
ABREAST ?= 4

help:
	@sed -n '1,5s/^# \{0,1\}//p' Makefile

install: $(VENV)/.run

# Without a key, or with --model local, the voice that ships with the relay speaks: it is installed when it is first
# wanted. Where that fails the relay starts all the same, and says your own words back to you.
run: $(VENV)/.run
	@stamp=$$($(BIN)/python -m signaling.wanted $(ARGS)); [ -z "$$stamp" ] || \
	$(MAKE) --silent --no-print-directory "$(VENV)/$$stamp" || \
	echo "The local voice could not be installed; the relay starts without it." >&2
	@exec $(BIN)/python -m signaling $(ARGS)

# pytest comes last: its closing line is the last line of the output.
test: lint $(PROXIES)/.stamp
	node --test tests/page/*.test.js
	$(BIN)/python -m pytest -m alone $(ARGS) || [ $$? -eq 5 ]
	$(BIN)/python -m pytest -m "not alone" -n $(ABREAST) $(ARGS)

soak: $(VENV)/.test $(VENV)/.soak $(NODE_TOOLS)/.stamp
	$(BIN)/python -m pytest -s -o python_files='soak_*.py' tests/soak $(ARGS)

bench: $(VENV)/.bench $(VENV)/.local
	@sh tests/machine.sh bench
	$(BIN)/python -m bench $(ARGS)

lint: $(VENV)/.test $(NODE_TOOLS)/.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(NODE_TOOLS)/.bin/tsc --project tests/page/tsconfig.json

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What judges the files in deploy/: the programs that read them.
$(PROXIES)/.stamp: tests/machine.sh
	@sh tests/machine.sh deploy $(PROXIES)
	@touch $@

clean:
	rm -rf $(VENV) $(NODE_TOOLS) $(PROXIES) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment that already works is kept; one whose making was interrupted is made anew.
$(VENV)/.made:
	@python=$$(sh tests/machine.sh python) && \
	{ $(BIN)/python -m pip --version >/dev/null 2>&1 || "$$python" -m venv --clear $(VENV); }
	@touch $@

# pip looks on the network only for what is not there yet; the checkout itself is linked, not copied.
$(VENV)/.run: pyproject.toml $(VENV)/.made
	@echo "Installing the relay, once: some 60 MB, a minute or so ..." >&2
	@$(PIP) "setuptools>=77"
	@$(PIP) --no-build-isolation --editable .
	@touch $@

# What the local voice needs, whoever's models it has: with --local-weights no others are fetched.
$(VENV)/.voice: pyproject.toml $(VENV)/.run
	@echo "Installing the local voice, once: some 60 MB, a minute or so ..." >&2
	@$(PIP) --retries 1 --require-hashes --requirement requirements-local.txt
	@$(PIP) --no-build-isolation --editable ".[local]"
	@touch $@

# The weights of its ears come out of a package of the registry's, are rewritten once and kept in .venv.
$(VENV)/.local: $(VENV)/.voice
	@$(BIN)/python -m relay.standin.weights
	@touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.run
	$(PIP) --no-build-isolation --editable ".[test]"
	$(BIN)/python -m relay.standin.weights
	@touch $@

# pesq comes as source alone and is built with what it asks for: a C compiler, Cython and numpy.
$(VENV)/.soak: pyproject.toml $(VENV)/.run
	$(PIP) --no-build-isolation --editable ".[soak]"
	@touch $@

$(VENV)/.bench: pyproject.toml $(VENV)/.run
	@sh tests/machine.sh bench
	$(PIP) --editable ".[bench]"
	@touch $@

# The browsers and Node.js come from the machine's own packages. No package runs a script of its own: esbuild's program
# comes as a package for this kind of machine.
$(NODE_TOOLS)/.stamp: tests/package-lock.json
	@sh tests/machine.sh browser
	cd tests && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
