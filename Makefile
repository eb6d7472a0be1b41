VENV := .venv
PY   := $(VENV)/bin/python
PIP  := $(PY) -m pip --disable-pip-version-check --quiet
# The tests, over the machine's cores.
SPREAD := -n auto --maxprocesses 4 --dist worksteal
# Bytecode is part of a quick start; never inherit a switch that leaves it out.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test check format lint types imports docs bundle snap coverage wheel outside bench soak sandbox lock clean

setup: $(VENV)/.project

$(VENV)/.locked: requirements.lock
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed.'; exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 || python3 -m venv --clear $(VENV) || \
	  { echo 'python3 cannot make environments here: install its venv package (python3-venv).'; exit 1; }
	@echo 'Setting up $(VENV) ...'
	@$(PIP) install --require-hashes --only-binary :all: --requirement requirements.lock
	@touch $@

$(VENV)/.project: $(VENV)/.locked pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@$(PY) -m compileall -q server tools sandbox
	@touch $@

demo: setup
	@$(VENV)/bin/leyr-mcp demo

test: setup
	@$(PY) -m pytest -q $(SPREAD)

# What CI runs. Each part can be run alone.
check: setup
	@$(VENV)/bin/ruff format --check .
	@$(MAKE) --no-print-directory lint types imports coverage wheel outside

format: setup
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix --quiet . || true

lint: setup
	@$(VENV)/bin/ruff check .
	@$(PY) dev/sizes.py
	@$(PY) dev/docs.py --check
	@$(PY) dev/manifests.py --check

types: setup
	@$(VENV)/bin/mypy

imports: setup
	@$(VENV)/bin/lint-imports --no-cache

coverage: setup
	@tests/outside/setup.sh
	@CHECK_POSTGRES=1 $(PY) dev/covered.py

wheel: setup
	@$(PY) dev/try_wheel.py

outside: setup
	@tests/outside/setup.sh
	@CHECK_OUTSIDE=1 $(PY) -m pytest -q -n 2 --dist loadfile tests/outside

docs: setup
	@$(PY) dev/docs.py
	@$(PY) dev/manifests.py
	@$(PY) dev/website.py

bundle: setup
	@tests/outside/setup.sh
	@$(PY) dev/bundle.py

snap: setup
	@SNAPSHOT=write $(PY) -m pytest -q tests/contract tests/tools tests/practice
	@git --no-pager diff --stat -- tests/snapshots tests/practice

bench: setup
	@$(PY) -m bench.run

soak: setup
	@SOAK=1 $(PY) -m pytest -q $(SPREAD) -o faulthandler_timeout=3600
	@tests/outside/setup.sh
	@SOAK=1 CHECK_OUTSIDE=1 $(PY) -m pytest -q -o faulthandler_timeout=3600 tests/outside/test_examples.py \
	  tests/outside/test_nodes.py
	@$(PY) dev/fuzz_sandbox.py

sandbox: setup
	@$(VENV)/bin/leyr-mcp sandbox --port 8400

lock:
	@test -x $(PY) || python3 -m venv $(VENV)
	@$(PIP) install uv
	@$(VENV)/bin/uv pip compile pyproject.toml --extra pdf --extra postgres --extra otel --group dev --group build --universal --python-version 3.11 \
	  --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links --no-header --quiet -o requirements.lock
	@$(VENV)/bin/uv pip compile pyproject.toml --extra pdf --extra postgres --extra otel --group build --universal --python-version 3.11 --constraint requirements.lock \
	  --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links --no-header --quiet -o deploy/requirements.lock

clean:
	@rm -rf $(VENV) .work build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
