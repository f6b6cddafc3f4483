# Every target does its own set-up: a .venv (with uv where it is installed, else venv and pip).

VENV   := .venv
PYTHON := $(VENV)/bin/python
READY  := $(VENV)/.kvsim-ready
DEMO   := results/storagegrid

# The newest interpreter from 3.11 on.
FIND_PYTHON = for p in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	if "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo "$$p"; break; fi; done

.DEFAULT_GOAL := help
.PHONY: help setup demo reproduce validate test notebooks docs bench bench-million app clean

help:            ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	@if command -v uv >/dev/null 2>&1; then \
		[ -x $(PYTHON) ] || uv venv --python '>=3.11' $(VENV); \
		uv pip install --python $(PYTHON) --editable . --group dev; \
	else \
		if [ ! -x $(PYTHON) ]; then \
			python=$$($(FIND_PYTHON)); \
			[ -n "$$python" ] || { echo "kvsim needs Python 3.11 or later (or uv) on the PATH" >&2; exit 1; }; \
			"$$python" -m venv $(VENV); \
		fi; \
		$(PYTHON) -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1' && \
		$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable . --group dev; \
	fi
	@touch $@

# Runs take twice as long where there is no C compiler to do it, and are the same.
setup: $(READY)  ## Make the .venv and compile the simulator's heart for it
	-@$(PYTHON) -m kvsim compile

demo: setup      ## Run the four set-ups over context length and write an HTML report
	@$(PYTHON) -m kvsim sweep experiments/storagegrid.yaml --out $(DEMO) --resume
	@$(PYTHON) -m kvsim report $(DEMO)

reproduce: setup ## The demo with 5 seeds, every candidate GPU and router, and the what-ifs (resumes)
	@$(PYTHON) -m kvsim sweep experiments/storagegrid.yaml --seeds 5 --out $(DEMO) --resume
	@$(PYTHON) -m kvsim sweep experiments/storagegrid-what-if.yaml --out $(DEMO)/what-if --resume
	@$(PYTHON) -m kvsim sweep experiments/storagegrid-candidates.yaml --out $(DEMO)/candidates --resume
	@$(PYTHON) -m kvsim report $(DEMO)

validate: setup  ## Simulate every measured run that ships with kvsim and hold it against the bars
	@$(PYTHON) -m kvsim validate

# All tests run what set-up has compiled; the laws hold for the sources by themselves, too.
test: setup      ## Ruff, mypy, all tests and the notebooks
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m mypy
	@$(PYTHON) -m pytest -n auto --dist loadgroup
	@KVSIM_COMPILED=0 $(PYTHON) -m pytest -n auto --dist loadgroup -q tests/laws tests/speed
	@$(MAKE) --no-print-directory notebooks

# Kernels are processes of their own: what they warn of is no warning of a test.
notebooks: setup ## Run the notebooks
	@$(PYTHON) -m pytest --nbmake --nbmake-timeout=120 -W default -n auto -q experiments

docs: setup      ## Build the documentation into site/, with the notebooks run
	@if command -v uv >/dev/null 2>&1; then uv pip install --quiet --python $(PYTHON) --group docs; \
	else $(PYTHON) -m pip install --quiet --disable-pip-version-check --group docs; fi
	@KVSIM_DOCS_EXECUTE=true NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet
	@echo "documentation: site/index.html (with search: $(PYTHON) -m http.server --directory site)"

bench: setup     ## Time one run, growth to 240,000 requests and the demo's sweep
	@$(PYTHON) -m pytest benchmarks -q --benchmark-columns=min,median,rounds $(BENCH)

bench-million:   ## The same with a run of 1,000,000 requests
	@$(MAKE) --no-print-directory bench BENCH=--million

app: setup       ## Open the dashboard in a browser
	@$(PYTHON) -m kvsim app

clean:           ## Remove the .venv, results and caches
	rm -rf $(VENV) kvsim/__compiled__ results site build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
