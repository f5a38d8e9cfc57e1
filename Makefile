# Two commands to begin with: `make demo`, `make test`. The others: `make help`.

# The newest Python that all wheels exist for comes first.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.10 python3 python; do \
	$$p -c 'import sys, ensurepip, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' \
	2>/dev/null && echo $$p && break; done)
# On Linux, PyTorch as published brings CUDA along. A build for the CPU will do: make TORCH=...
TORCH ?= torch==2.13.0
VENV ?= .venv
ARGS ?=
# Tests run in so many processes, a file in one of them. Many tests wait for audio or a browser, so
# that on two cores three are quicker than two. WORKERS=0 runs all in pytest's own.
WORKERS ?= 3

BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
SUDO = $(if $(filter-out 0,$(shell id -u)),sudo)
SYSTEM_PACKAGES = libasound2-plugins libportaudio2 node-typescript nodejs pulseaudio \
	pulseaudio-utils webkit2gtk-driver xvfb
# Chromium has one name in Debian and another in Ubuntu; Chrome does as well.
CHROMIUM = command -v google-chrome >/dev/null || \
	apt-cache search --names-only '^chromium(-browser)?$$' | head -n 1 | cut -d ' ' -f 1
# Debian has its headless shell too: pages start quicker in it, where no microphone is needed.
HEADLESS = apt-cache search --names-only '^chromium-headless-shell$$' | cut -d ' ' -f 1
# Ubuntu's Firefox is a snap, which tests can't drive; Mozilla's own they can.
FIREFOX = apt-cache search --names-only '^firefox-esr$$' | cut -d ' ' -f 1

.PHONY: help demo serve lab test lint format protocol docs package system clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile

demo: $(VENV)/.live  ## a recording becomes text over a socket, as if it were the microphone
	$(BIN)/sttlab demo $(ARGS)

serve: $(VENV)/.live  ## the live server, on the microphone
	$(BIN)/sttlab serve $(ARGS)

lab: $(VENV)/.lab  ## the notebooks, in JupyterLab
	$(BIN)/sttlab lab $(ARGS)

# Tests start hundreds of Pythons, each of which would compile sttlab again if none may keep bytecode.
test: $(VENV)/.test  ## the whole test suite
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/.test  ## style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@command -v tsc >/dev/null || { echo "tsc not found: make system installs it" >&2; exit 1; }
	tsc --project frontend
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

format: $(VENV)/.test  ## fix style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

protocol: $(VENV)/.test  ## the tables of docs/protocol.md, from the code
	$(BIN)/python -m tests.protocol_tables

docs: $(VENV)/.docs  ## the documentation site, into docs/_build/html
	$(BIN)/python -m sphinx --builder html --fail-on-warning docs docs/_build/html

package: $(VENV)/.package  ## sdist and wheel into dist/; the wheel, installed alone, passes the demo
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	alone=$$(mktemp -d) && $(PYTHON) -m venv $$alone && \
		$$alone/bin/python -m pip install --quiet '$(TORCH)' && \
		$$alone/bin/python -m pip install --quiet "$$(echo dist/*.whl)[server,whisper,faster]" && \
		(cd $$alone && bin/sttlab demo); code=$$?; rm -rf $$alone; exit $$code

system:  ## what tests and the microphone need from Debian or Ubuntu
	$(SUDO) apt-get update
	$(SUDO) apt-get install --yes --no-install-recommends $(SYSTEM_PACKAGES) \
		$$($(CHROMIUM)) $$($(HEADLESS)) $$($(FIREFOX))

clean:  ## remove what was installed
	rm -rf $(VENV)

# Each of these files says that its set of packages is in.
$(VENV)/.live: EXTRAS = mic,server,whisper,faster
$(VENV)/.lab: EXTRAS = all
$(VENV)/.test: EXTRAS = test-all,lint
$(VENV)/.docs: EXTRAS = all,docs
$(VENV)/.package: EXTRAS = build
$(VENV)/.live $(VENV)/.lab $(VENV)/.test $(VENV)/.docs $(VENV)/.package: $(VENV)/.torch pyproject.toml
	@echo "== Installing sttlab with $(EXTRAS)"
	$(PIP) install --editable '.[$(EXTRAS)]'
	@touch $@

$(VENV)/.torch:
	@test -n "$(PYTHON)" || { echo "No Python 3.10 to 3.13 with venv found. Install one \
	(Debian, Ubuntu: apt install python3-venv) or name it: make PYTHON=..." >&2; exit 1; }
	@echo "== Making $(VENV) with $$($(PYTHON) --version), then installing $(TORCH): takes minutes"
	$(PYTHON) -m venv $(VENV)
	$(PIP) install '$(TORCH)'
	@touch $@
