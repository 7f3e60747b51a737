# Every target does its own set-up: an own .venv with the package in it. All that a machine needs is Python >= 3.11, make and git.
# A distribution's own Python is built with optimizations, which one built from source by default is not: a third faster.
FIT := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach each,/usr/bin/python3 python3,$(shell $(each) -c '$(FIT)' 2>/dev/null && echo $(each))) python3)
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Test files side by side, in the order of testpaths: most of them wait for real servers, so there are more than two
# cores could compute.
JOBS ?= 5
SEEDS ?= 10000
TRIALS ?= 2000
EDITS ?= 10000

# Tests start Andon hundreds of times: from bytecode, also where a machine's default is to write none.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test tour lint bench sim tamper crash faults fuzz breaks docs image lock vulnerabilities clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 17

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Andon needs Python >= 3.11; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing; install it (Debian, Ubuntu: apt install python3-venv)"; exit 1; }
	@echo "setting up $(VENV) (once, about half a minute)" >&2
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test,dev]'
	@touch $@

demo: $(VENV)/.ready ## see Andon handle a VaR breach, live (ARGS="--tour --json" plays it unattended)
	@$(BIN)/andon demo $(ARGS)

# pytest compiles every test; done once, and not by each of the processes side by side.
$(VENV)/.collected: $(VENV)/.ready
	@$(BIN)/python -m pytest -qq --collect-only >/dev/null
	@touch $@

test: $(VENV)/.ready $(VENV)/.collected ## the suite, the contracts of the rooms among it
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

tour: $(VENV)/.ready ## the demo, unattended, in a terminal, and its local Slack in a headless Chromium (apt install chromium)
	@$(BIN)/python -m pytest tests/acceptance/demo_tour.py tests/acceptance/slack_page.py tests/acceptance/demo_page.py \
		-n 3 --dist loadfile $(ARGS)

lint: $(VENV)/.ready ## ruff, mypy strict, import contracts, generated files up to date, shipped configuration
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python docs/generate.py --check
	@$(BIN)/andon check configs

bench: $(VENV)/.ready ## measure: JSON lines with figure, value, unit, ratio, target, met
	@$(BIN)/python -m tests.bench $(ARGS)

sim: $(VENV)/.ready ## simulate whole floors under faults, one for each seed (SEEDS=10000, or SEED=N to replay one)
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) $(ARGS)

tamper: $(VENV)/.ready ## change the audit at random, and demand that each change is found and named (EDITS=10000)
	@$(BIN)/python -m tests.tamper --edits $(EDITS) $(ARGS)

crash: $(VENV)/.ready ## kill real workers with actions in flight, and count what was doubled or lost (TRIALS=2000)
	@$(BIN)/python -m tests.crash --trials $(TRIALS) $(ARGS)

faults: $(VENV)/.ready ## real stores that fail and real replicas that die, side by side
	@$(BIN)/python -m pytest tests/faults -n $(JOBS) --dist loadfile $(ARGS)

fuzz: $(VENV)/.ready ## every property with thousands of new examples (the suite has few, always the same)
	@$(BIN)/python -m pytest tests/unit -k fuzz --hypothesis-profile=fuzz --timeout 3600 -n $(JOBS) $(ARGS)

breaks: $(VENV)/.ready ## break each law once, in a copy, and demand that a machine turns red
	@$(BIN)/python -m tests.breaks $(ARGS)

docs: $(VENV)/.ready ## regenerate schemas, state diagrams, action pages, CLI reference
	@$(BIN)/python docs/generate.py

image: $(VENV)/.ready ## carry out the Dockerfile's steps in clean virtual environments (needs a package index, not Docker)
	@$(BIN)/python -m pytest -v tests/acceptance/image_steps.py $(ARGS)

lock: ## renew the image's locks (ARGS="--upgrade" for newer versions of everything)
	@PYTHON=$(PYTHON) deploy/lock.sh $(ARGS)

vulnerabilities: ## is anything the image is locked to known to be vulnerable (3: nobody could be asked)
	@$(PYTHON) deploy/vulnerabilities.py deploy/requirements.lock deploy/requirements-build.lock $(ARGS)

clean: ## remove what the targets above made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
