# Each target sets itself up in .venv; nothing but Python 3.11, make and a C compiler is needed.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP := .venv/bin/python -m pip
pinned = $(shell sed -n 's/^\($(1)==.*\)/\1/p' constraints.txt)

# So that recipes read as what one would type. Make itself looks commands up elsewhere.
SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: setup demo test check clean constraints

setup: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@# Older pips know no --group.
	$(PIP) install -qq --upgrade $(call pinned,pip)
	$(PIP) install -qq -c constraints.txt -e . --group dev
	@touch $@

check: setup
	ruff check
	ruff format --check
	mypy
	lint-imports

# SCDFM_DATA names a folder of real cells; without it those tests skip. Two processes: tests that
# share a session of Ray, which wait a lot, are all in one of them.
test: setup
	pytest -q -n 2 --dist loadgroup --durations 30 --durations-min 4

# Minutes on two cores: prints each scdfm command, a leaderboard and a table beside the baselines.
demo: setup
	@scripts/demo.sh

clean:
	rm -rf .venv build dist demo .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# The newest versions that work together, but for torch, which stays until its pin is changed.
constraints:
	rm -rf build/newest
	$(PYTHON) -m venv build/newest
	build/newest/bin/python -m pip install -qq --upgrade pip
	build/newest/bin/python -m pip install -qq $(call pinned,torch) -e . --group dev
	@echo "# Every version that make installs, tried together. Refresh: make constraints" > build/constraints.txt
	build/newest/bin/python -m pip freeze --all --exclude-editable --exclude setuptools \
	  | sed 's/+cpu$$//' >> build/constraints.txt
	mv build/constraints.txt constraints.txt
	rm -rf build/newest
