# Two commands: `make audit` and `make test`. Both do their own set-up; a second run reuses it.

SPEC ?= specs/digits.yaml
ARGS ?=
# a process for each core, whole files to each in the order of tests/conftest.py; processes must agree on the names of tests, so words hash alike in all
PYTEST = PYTHONHASHSEED=0 .venv/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help audit test lint types imports pytest cluster-test docs setup setup-dev lock clean

help: ## show these words
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

audit: setup ## audit the digit reader: specs/digits.yaml to a factsheet (SPEC=... for another one)
	.venv/bin/pgx run $(SPEC) $(ARGS)

test: setup-dev ## lint, strict types, import law, tests
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy --strict
	.venv/bin/lint-imports
	$(PYTEST) $(ARGS)

lint: setup-dev ## ruff alone
	.venv/bin/ruff check
	.venv/bin/ruff format --check

types: setup-dev ## mypy alone
	.venv/bin/mypy --strict

imports: setup-dev ## the import law alone
	.venv/bin/lint-imports

pytest: setup-dev ## tests alone (ARGS='-m "not frameworks"' for those that take seconds)
	$(PYTEST) $(ARGS)

cluster-test: setup-dev ## an audit on a real local Ray cluster of three machines, one of which is killed half-way
	PGX_CLUSTER_TEST=1 .venv/bin/python -m pytest tests/execute/test_cluster_run.py tests/execute/test_ray_cluster.py $(ARGS)

docs: setup-dev ## write docs/{language,methods,diagnostics,strategy}.md again, from the code
	.venv/bin/python scripts/docs

setup: ## what running needs: .venv, pinned packages, libraries for PDF
	@scripts/setup run

setup-dev: ## what testing needs as well
	@scripts/setup dev

lock: setup-dev ## pin the dependencies again after a change in pyproject.toml
	scripts/lock $(ARGS)

clean: ## forget the environment and the caches; runs and evidence stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
