# `make run` and `make test` make .venv when it is not there; PYTHON names the interpreter (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help run test compare bench lint format types data clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, set PYTHON=...") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(INSTALLED)

run: $(INSTALLED) ## align the bundled images with their captions: python train.py
	$(BIN)/python train.py

# a worker for each core, of one thread: small products in several threads wait for each other
test: $(INSTALLED) ## the whole test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --no-loadscope-reorder

compare: $(INSTALLED) ## aligners head to head on the bundled data, at their defaults
	$(BIN)/python compare.py seeds=3 trials=0

bench: $(INSTALLED) ## the benchmarks: every aligner in a contest, speed, scale
	$(BIN)/python compare.py aligners=all trials=0
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.scale

lint: $(INSTALLED) ## ruff's checks, and which package may import which
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports --no-cache

format: $(INSTALLED) ## ruff's fixes
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

types: $(INSTALLED) ## mypy, strict
	$(BIN)/mypy

clean: ## remove outputs and caches, keep .venv
	rm -rf outputs cache wandb .pytest_cache .mypy_cache .ruff_cache .hypothesis
