# Every daily command. `make` alone lists them. Needs only make and a Python >= 3.11 with venv.

# The system's Python if it will do: distributions build it with profile-guided optimization, version managers mostly do
# not, and Modplane on such a one takes up to twice the processor time.
IS_GOOD := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PY ?= $(shell /usr/bin/python3 -c '$(IS_GOOD)' 2>/dev/null && echo /usr/bin/python3 || echo python3)

export UV_PYTHON_DOWNLOADS := never
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# uv would look for an active environment otherwise, and take another one.
export VIRTUAL_ENV := $(CURDIR)/.venv

INSTALL := .venv/bin/uv pip install --quiet --require-hashes -r
# Compile once what a start imports, also where the environment forbids it to be kept: a start takes 2 s and not 6.
COMPILE := env -u PYTHONDONTWRITEBYTECODE .venv/bin/python -c 'import alembic.command, app.cli, app.dev'
INSTALL_PROJECT := .venv/bin/uv pip install --quiet --no-deps --no-build-isolation --editable .

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help run test check fmt schema lock demo demo-federation composer gateway bench chaos chaos-short clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

run: .venv/run.stamp ## start Modplane and all it needs on 127.0.0.1:8000 (MODPLANE_PORT, MODPLANE_DATA_DIR)
	@exec .venv/bin/modplane dev

test: .venv/dev.stamp ## run the whole suite on real servers (REQUIRE_APACHE_KAFKA=1: on Apache Kafka or not at all)
	@.venv/bin/python -m tests.side_by_side

check: .venv/dev.stamp ## format, lint, types, import contracts, schema drift
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy .
	.venv/bin/lint-imports
	.venv/bin/modplane schema --check

fmt: .venv/dev.stamp ## format the code and fix what can be fixed
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

schema: .venv/dev.stamp ## write schema.graphql
	.venv/bin/modplane schema > schema.graphql.new
	mv schema.graphql.new schema.graphql

# The locks name versions and hashes, never a host: where packages come from is the business of each machine.
lock: .venv/uv.stamp ## resolve the dependencies again and write the locks
	.venv/bin/uv lock --python .venv/bin/python
	.venv/bin/uv export -q --frozen --no-emit-project --no-header -o requirements.lock
	.venv/bin/uv export -q --frozen --no-emit-project --no-header --all-groups -o requirements-dev.lock
	@if grep -n '://' requirements*.lock; then echo "The locks name a host; see the lines above." >&2; exit 1; fi

demo: .venv/run.stamp ## walk through what Modplane does, against `make run` in another terminal
	@.venv/bin/python examples/demo.py

NPM_CI := npm ci --silent --no-audit --no-fund --ignore-scripts

composer: federation/composer/node_modules/.package-lock.json ## install what composes partners' subgraphs (needs Node >= 20)

gateway: gateway/node_modules/.package-lock.json ## start the gateway on 127.0.0.1:4000 before a running Modplane (MODPLANE_URL, MODPLANE_GATEWAY_PORT)
	@cd gateway && MODPLANE_DATA_DIR=$(abspath $(or $(MODPLANE_DATA_DIR),.modplane)) exec node main.js

demo-federation: .venv/run.stamp composer gateway/node_modules/.package-lock.json examples/warehouse/node_modules/.package-lock.json ## start all, with the gateway and two partners' modules, and tell the story
	@.venv/bin/python -m examples.demo_federation

%/node_modules/.package-lock.json: %/package-lock.json
	@cd $* && $(NPM_CI) && touch node_modules/.package-lock.json

bench: .venv/dev.stamp ## compare with other servers and with the limits (needs Node; a quarter of an hour)
	@.venv/bin/python -m bench.compare

chaos: .venv/dev.stamp ## break things on purpose and count what is lost (ROWS=1,9 only these, SEED=42 again)
	@.venv/bin/python -m bench.chaos $(if $(ROWS),--rows $(ROWS)) $(if $(SEED),--seed $(SEED))

chaos-short: .venv/dev.stamp ## the same in three minutes, without the rows that measure time
	@.venv/bin/python -m bench.chaos --short $(if $(ROWS),--rows $(ROWS)) $(if $(SEED),--seed $(SEED))

clean: ## remove the environment and the caches; the data under .modplane stays
	rm -rf .venv target .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# venv over an environment that is there already mends it and takes nothing away.
.venv/uv.stamp: requirements-uv.lock
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Modplane needs Python 3.11 or newer; $(PY) is not that. Name one: make PY=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PY) -m venv .venv || { \
	  echo "$(PY) cannot make an environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@.venv/bin/python -m pip install --quiet --require-hashes -r requirements-uv.lock
	@touch $@

.venv/run.stamp: .venv/uv.stamp requirements.lock pyproject.toml
	@$(INSTALL) requirements.lock
	@$(INSTALL_PROJECT)
	@$(COMPILE)
	@touch $@

.venv/dev.stamp: .venv/uv.stamp requirements-dev.lock pyproject.toml
	@$(INSTALL) requirements-dev.lock
	@$(INSTALL_PROJECT)
	@$(COMPILE)
	@touch $@ .venv/run.stamp
