# Two commands on a bare machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Python compiles a module when it is first imported; most of those that are installed never are.
INSTALL := $(PIP) install --quiet --no-compile --constraint constraints.txt

.PHONY: demo test soak load image-check quick check lint js web web-install docs dist bench bench-compare studies notebook clean

demo: $(VENV)/.installed
	$(BIN)/impasto demo --output demo-out

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile

# The studio amid fifty times as many faults as `make test` tries, after 1,000 power cuts, under 12,000 requests and
# 10,000 damaged files; faster where TMPDIR is in memory. The studio, a film and a study on clusters that lose a
# machine; a thousand random recipes; a short `make load`. And the static site at 2048 pixels, for a minute of its live
# view, by WebGPU in software, and in Firefox.
soak: $(VENV)/.installed-dev
	IMPASTO_SOAK=1 $(BIN)/python -m pytest -q tests/web tests/studio/test_on_cluster.py \
	  tests/studio/worker/test_cluster.py tests/pieces/test_cluster.py tests/benchmarks/test_load.py
	IMPASTO_RECIPES=1000 $(BIN)/python -m pytest -q tests/painting/test_engine.py
	IMPASTO_FAULT_SEEDS=100 IMPASTO_FAULT_TABLE=build/faults.tsv $(BIN)/python -m pytest -q tests/studio/test_faults.py
	IMPASTO_CUT_SEEDS=5 IMPASTO_CUTS=100 $(BIN)/python -m pytest -q tests/studio/test_power_cut.py
	IMPASTO_API_SCENARIOS=300 IMPASTO_API_TABLE=build/api.tsv $(BIN)/python -m pytest -q \
	  tests/studio/http/test_stateful_api.py
	IMPASTO_MUTATED_FILES=10000 IMPASTO_MUTATION_TABLE=build/mutations.tsv $(BIN)/python -m pytest -q \
	  tests/studio/sandbox/test_mutated_files.py

# A studio under 200 clients, 500 event streams and 200 silent connections for ten minutes; wants an idle machine.
load: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/load.py --minutes 10 --out build/load --profile build/load-stacks.txt

# The image, built and run by Podman as deploy/compose.yaml says: paints a picture, is stopped, goes on. As root.
# Where no registry can be reached: OPTIONS="--base base.tar", see the script.
OPTIONS ?=
image-check: $(VENV)/.installed-dev
	$(BIN)/python deploy/check_image.py $(OPTIONS)

# What a developer runs at each change.
quick: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m "not slow and not browser"

check: lint js

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

js:
	@if command -v npm >/dev/null; then npm ci --silent --no-audit --no-fund && npm run --silent check; \
	else echo "no npm here: the page's JavaScript is not checked"; fi

# The static site that paints in the browser itself; needs npm.
web: $(VENV)/.installed-export
	npm ci --silent --no-audit --no-fund
	$(BIN)/python web/build.py build/web

# The same where `impasto studio` finds it by itself.
web-install: $(VENV)/.installed-export
	npm ci --silent --no-audit --no-fund
	$(BIN)/python web/build.py --install

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet --site-dir site

# Wheel and source archive; the wheel must paint the demo in an environment of its own.
dist: $(VENV)/.installed-docs
	rm -rf dist build/dist-check
	$(BIN)/python -m build --quiet
	$(PYTHON) -m venv build/dist-check
	build/dist-check/$(notdir $(BIN))/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt dist/*.whl
	build/dist-check/$(notdir $(BIN))/impasto demo --size 192 --output build/dist-check/demo

notebook: $(VENV)/.installed-docs
	$(BIN)/python docs/execute_notebook.py examples/notebook.ipynb

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/speed.py --out benchmarks/results

# Fails if a ratio of `make bench` has fallen by a tenth. BASE: a results.json, or a git revision.
BASE ?= benchmarks/results/results.json
bench-compare: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/speed.py --out build/bench
	$(BIN)/python benchmarks/compare.py $(BASE) build/bench/results.json

studies: $(VENV)/.installed-dev
	$(BIN)/impasto study claims --output studies-out

$(BIN)/python:
	$(PYTHON) -m venv --upgrade-deps $(VENV)  # the pip of an old Python takes half as long again

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable ".[dev]"
	touch $@ $(VENV)/.installed

$(VENV)/.installed-export: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable ".[export]"
	touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable ".[docs]"
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist site demo-out studies-out
