# Two commands do everything: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

.PHONY: help install demo test test-all lint clean

help:
	@echo "make demo      install, then synthesise, train, evaluate, export, predict, submit (about 5 minutes on 2 cores)"
	@echo "make test      install, then ruff, mypy, pytest"
	@echo "make test-all  the slow checks too: the demo, the recipes' notebooks"
	@echo "make clean     remove what these made, but not .venv"

# The stamp is newer than pyproject.toml once everything it names is installed.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("birdfast needs Python 3.11 to 3.13; this is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...") if not (3, 11) <= sys.version_info[:2] <= (3, 13) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[lite,birdnet,notebook,onnx,openvino,dev]'
	touch $@

install: $(VENV)/.installed

demo: install
	PATH="$(CURDIR)/$(BIN):$$PATH" BIRDFAST_DEMO="$(DEMO)" bash recipes/demo.sh

lint: install
	$(BIN)/ruff check birdfast tests recipes benchmarks
	$(BIN)/ruff format --check birdfast tests recipes benchmarks
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-all: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "slow or not slow"

clean:
	rm -rf $(DEMO) build dist .pytest_cache .mypy_cache .ruff_cache
