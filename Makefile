# Two commands, each from nothing: `make train` and `make test`. All they need is Python 3.11 or newer, and PyPI.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help train test check clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## /  make \1\t/p' Makefile
	@echo '  variables of make train: MODEL=folder or Hub name, DATA=text file or Hub dataset, ARGS="--max_steps 20 ..."'

train: .venv/.installed-train ## prepare a checkpoint, sentences and pairs, then train and measure before and after
	$(BIN)/python examples/quickstart/train.py $(if $(MODEL),--model "$(MODEL)") $(if $(DATA),--data "$(DATA)") $(ARGS)

test: .venv/.installed-test ## run the tests, two files at a time
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: .venv/.installed-test ## style, types and the order of imports
	scripts/check

clean: ## remove the environment and all prepared inputs; trained models in runs/ stay
	rm -rf .venv .cache/quickstart

.venv/.installed-train: EXTRAS := peft,quickstart
.venv/.installed-test: EXTRAS := dev,quickstart

# torch by itself first: pip then finds a CPU build where one is at hand.
.venv/.installed-%: .venv/.created pyproject.toml constraints.txt
	$(INSTALL) torch==2.13.0
	$(INSTALL) -e '.[$(EXTRAS)]'
	@touch $@

.venv/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv .venv
	@touch $@
