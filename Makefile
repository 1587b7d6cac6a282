# One command for each chore. `make` is a convenience: CI and the README do without it.
PYTHON ?= .venv/bin/python

.PHONY: help setup quick test frameworks lint types imports security format soak bench docs ci

help:            ## show this
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'
setup:           ## make .venv with everything the tests need
	python3 -m venv .venv && .venv/bin/pip install -q -r requirements-dev.txt -r requirements-models.txt
quick:           ## the tests that answer in under a minute: core, filters, configuration, the kit in memory and on SQLite
	$(PYTHON) -m pytest -q -n auto tests/architecture tests/session tests/filters tests/config tests/core tests/plugins \
		tests/kit/test_memory_conformance.py --ignore=tests/core/test_nest.py --ignore=tests/core/test_estimate.py
test:            ## run all tests
	$(PYTHON) -m pytest -n auto
integration:     ## the conformance kit against the containers of docker-compose.yml
	docker compose --profile all up --wait && $(PYTHON) -m pytest -m docker tests/integration
servers:         ## the tests against real servers, which they start themselves
	$(PYTHON) -m pytest -m server
frameworks:      ## the tests on collections of other frameworks, which they install into environments of their own
	$(PYTHON) -m pytest -m frameworks tests/frameworks
lint:            ## ruff, formatting included
	$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check .
types:           ## mypy, strict
	$(PYTHON) -m mypy
imports:         ## imports point one way
	$(dir $(PYTHON))lint-imports
security:        ## what bandit sees in our code, and pip-audit knows of what is installed
	$(PYTHON) -m bandit -q -c pyproject.toml -r src plugins/*/src && $(PYTHON) .ci/audit.py
format:          ## let ruff tidy up
	$(PYTHON) -m ruff check --fix . ; $(PYTHON) -m ruff format .
soak:            ## the long campaigns that CI samples
	NESTVEC_SOAK=1 $(PYTHON) -m pytest -n auto -m "soak or not soak" tests/kit tests/core tests/filters tests/readers tests/crash tests/migrating tests/jina tests/fuzz plugins
bench:           ## measure; prints tables
	for file in benchmarks/bench_*.py; do echo "== $$file"; $(PYTHON) $$file || exit 1; done
docs:            ## write the pages that come from the code
	$(PYTHON) docs/generate.py
ci:              ## what CI runs
	.ci/run
