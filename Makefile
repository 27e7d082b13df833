# Everything there is to do here. Each target makes .venv ready by itself, once; it needs only make and Python 3.11+.
#   make run  JOBS=path/to/jobs     make test  ARGS="-k countdown"     make test  PYTHON=/path/to/python3
# JOBS is one path, taken as it is written: blanks, quotes, $ and * are part of the name. ARGS is a list of arguments.

.DEFAULT_GOAL := help
.PHONY: run test libraries browser lint bench docs update clean help

# JOBS and ARGS count on make's command line alone: such short names may mean something else in an environment.
JOBS = jobs/quickstart.yaml
ARGS =
PYTHON ?=
export PYTHON
# TASKLOOM_PACKAGES=newest or oldest chooses other versions than those of .ci/constraints.txt: see .ci/setup_venv.py.

# Another project's settings must not reach into .venv; an active environment may stay active.
unexport PYTHONHOME PYTHONPATH

# A path of the command line: `value` keeps make from expanding $ in it, and the quotes keep the shell from it. A leading
# ~/ stays in front of the quotes, so it still is HOME.
quoted_jobs = $(subst @begin@,',$(subst @begin@~/,~/',@begin@$(subst ','\'',$(value JOBS))'))
path = $(if $(filter file,$(origin JOBS)),$(JOBS),-- $(quoted_jobs))

run: ## run the example jobs (JOBS=PATH names others, ARGS=... goes to taskloom run)
	@sh .ci/setup.sh run
	@exec .venv/bin/python -P -m taskloom run$(if $(ARGS), $(ARGS)) $(path)

test: ## run the tests (ARGS=... goes to pytest)
	@sh .ci/setup.sh test
	@exec .venv/bin/python -m pytest $(ARGS)

libraries: ## test docs/client-libraries.md with real libraries and servers
	@sh .ci/setup.sh libraries
	@exec .venv/bin/python -m pytest -m libraries tests/libraries $(ARGS)

browser: ## test the web page in Chromium, which has to be installed
	@sh .ci/setup.sh browser
	@exec .venv/bin/python -m pytest -m browser -n 0 tests/web/browser $(ARGS)

lint: ## check style and types
	@sh .ci/setup.sh lint
	@code=0; \
	.venv/bin/python -m ruff check . || code=1; \
	.venv/bin/python -m ruff format --check . || code=1; \
	.venv/bin/python -m mypy || code=1; \
	exit $$code

bench: ## measure against peers, side by side in one run
	@sh .ci/setup.sh bench
	@exec .venv/bin/python benchmarks $(ARGS)

docs: ## build the documentation into docs/_build
	@sh .ci/setup.sh docs
	.venv/bin/python -m sphinx -q -W --keep-going docs docs/_build
	@echo "open docs/_build/index.html"

update: ## renew .ci/constraints.txt, the exact versions of all packages, and run the tests with them
	@sh .ci/setup.sh run
	@.venv/bin/python -I .ci/constraints.py update
	@sh .ci/setup.sh test
	@exec .venv/bin/python -m pytest $(ARGS)

clean: ## remove .venv and everything that was built
	rm -rf .venv build dist taskloom.egg-info docs/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find framework plugins tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile
