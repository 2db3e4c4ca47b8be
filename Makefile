# What a person does with this project. `make` alone lists it.
# Another Python than python3: make run PYTHON=python3.13

PYTHON ?= python3
PY := .venv/bin/python
# For commands in clients/nestjs.
NODE := ../../$(PY) ../node.py
# For commands in web/console/frontend.
CONSOLE_NODE := ../../../$(PY) ../../../clients/node.py
UV_VERSION := 0.13.9
LOCK := $(PY) -m uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet

# All have a short form, which `make test` runs.
LONG_FORMS := tests/integration/test_jobs_under_fire.py \
	tests/kafka/test_delivery.py::test_each_reading_ends_in_exactly_one_outcome_whoever_is_killed \
	tests/kafka/test_rolling_restart.py tests/kafka/test_ocpp.py

# Packages are compiled when first used (see stack/install.py). Where Python is told to keep nothing of that,
# every start of every process would compile them anew, and take seconds longer.
export PYTHONDONTWRITEBYTECODE :=

# One pool of workers for all tests, each file on one of them, in the order of tests/conftest.py.
RUN_TESTS = $(PY) -m pytest $(or $(TESTS),-n logical --dist loadfile --no-loadscope-reorder tests)
# Debian packages that `make test-host` needs.
HOST_PACKAGES := chromium faketime prometheus redis-server

.DEFAULT_GOAL := help
.PHONY: help run demo demo-clean assets test test-host host-packages test-clients test-client-nestjs test-client-python test-long soak faults fuzz compat bench \
	bench-compare evaluate check owasp format lock audit clean installed installed-dev

help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | \
		while IFS='|' read -r name text; do printf '%-25s %s\n' "$$name" "$$text"; done

run: installed ## start everything here and keep it running until Ctrl-C
	@$(PY) -m stack env
	@exec $(PY) -m stack run

demo: installed ## fill the running service with two fleets, under the tenant demo (two minutes; DEMO="--days 10")
	@$(PY) -m stack demo $(DEMO)

demo-clean: installed ## erase what make demo has made
	@$(PY) -m stack demo-clean

test: installed-dev ## run all tests (TESTS=tests/unit for some)
	@$(RUN_TESTS)

test-host: installed-dev ## run the tests that need Debian packages (skipped where one is missing, failed in CI)
	@$(PY) -m pytest -m host tests/host

host-packages:
	@echo $(HOST_PACKAGES)

test-client-python: installed-dev ## test the Python client against the service, and build and install its package
	@$(PY) -m pytest clients/python/tests

test-long: installed-dev ## run the long forms of the tests that kill processes (half an hour; SEED=7 repeats a run)
	@SOAK=1 $(PY) -m pytest -s $(LONG_FORMS)

soak: installed-dev ## an hour at 70 % of the capacity with faults: what was promised, and what grows (SOAK="--minutes 5")
	@$(PY) -m tests.faults.soak $(SOAK)

faults: installed-dev ## cause faults in a running service, and print what its callers saw (three quarters of an hour)
	@$(PY) -m tests.faults $(FAULTS)

# -s: it says how far it is, with a line for each pairing.
compat: installed-dev ## serve with another release, in every pairing and in each other's place (REF=04f6cf5)
	$(if $(REF),,$(error Name the other release: make compat REF=<commit>, see docs/releases.md))
	@COMPAT_REF=$(REF) $(PY) -m pytest -s tests/compat

check: installed-dev ## format, lint, types, tests: what must pass before a commit
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy .
	@$(RUN_TESTS)

test-clients: test-client-nestjs test-client-python ## test the clients for backends against a service that they start

# What `web/console/static` has in it: committed, so that a machine without Node.js can serve it.
assets: installed-dev ## build the scripts and styles of the console from their npm lock
	@cd web/console/frontend && $(CONSOLE_NODE) npm ci --no-audit --no-fund && $(CONSOLE_NODE) npm run build

# The lock is exact. Lint, types, build, what is published, and tests: those of drift and of a fresh app included.
test-client-nestjs: installed-dev
	@cd clients/nestjs && $(NODE) npm ci --no-audit --no-fund && $(NODE) npm run lint && $(NODE) npm run build && \
		$(NODE) npm run check:package && $(NODE) npm test

bench: installed-dev ## measure the service beside its rivals; writes docs/benchmarks.md (BENCH="--only ours")
	@$(PY) -m bench $(BENCH)

bench-compare: installed-dev ## is this tree slower than a commit? (REF=04f6cf5; LIMIT=5 percent; COMPARE="--pairs 6")
	@$(PY) -m bench.compare --limit $(or $(LIMIT),5) $(COMPARE) $(REF)

# As many examples as fit into 45 minutes on one core.
fuzz: EXAMPLES ?= 130000
fuzz: installed-dev ## send any JSON the whole way from body to record (EXAMPLES=130000; 45 minutes; SEED=7 repeats a run)
	@FUZZ_EXAMPLES=$(EXAMPLES) $(PY) -m pytest -s tests/unit/test_whole_path.py

evaluate: installed ## judge the active version, by default on a simulated fleet (HISTORY=folder; EVALUATE="--seed 7")
	@$(PY) -m models evaluate $(if $(HISTORY),--history "$(HISTORY)") --out build/evaluation $(EVALUATE)

owasp: installed-dev ## write docs/owasp.md from the markers of the tests
	@mkdir -p build && $(PY) -m tests.owasp > build/owasp.md && mv build/owasp.md docs/owasp.md

format: installed-dev ## put code into shape
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

lock: installed ## pin what the requirements*.in ask for, with hashes
	@$(PY) -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(LOCK) requirements.in -o requirements.txt
	$(LOCK) requirements-serve.in -c requirements.txt -o requirements-serve.txt
	$(LOCK) requirements-dev.in -c requirements.txt -o requirements-dev.txt
	$(LOCK) requirements-audit.in -o requirements-audit.txt
	$(LOCK) clients/node.in -o clients/node.txt

audit: installed ## ask for known vulnerabilities of all locked packages (exit 1: found, 2: a registry has no advisories)
	@$(PY) -m stack.audit

clean: ## remove .venv, caches and var/ (queues, jobs and logs); .env stays
	rm -rf .venv var build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf clients/nestjs/node_modules clients/nestjs/dist clients/nestjs/build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

installed:
	@$(PYTHON) stack/install.py requirements.txt

installed-dev:
	@$(PYTHON) stack/install.py requirements-dev.txt
