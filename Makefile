# make demo   the whole journey against a local stand-in for the API
# make quick  the tests that fail most often, in a minute
# make test   every test, with a real Redis and a real PostgreSQL
# make chaos  real processes under random faults for 15 minutes: make chaos SEED=7 SECONDS=900
# make fuzz-rosters  10,000 odd rosters against an independent reader: make fuzz-rosters SEED=2 ROSTERS=10000
# make fuzz-formats  10,000 damaged exports and workbooks: make fuzz-formats SEED=2 INPUTS=10000
# make hostile   jobs against a service that lies, and undone: make hostile SEED=7 SCENARIOS=500
# make ci-packages   what `make test` needs of Debian's packages (apt, as root or with sudo)
# make bench  speed, CPU and memory beside a hand-written script: make bench ARGS=--full
# make stages CPU of each stage of a row's way
# make shape  the shape of the code in figures
# make screenshots  the pictures in docs/images anew (needs tmux and chromium)
# make docs   what the documentation shows of the program: printed output, and the man page
# make audit  are there advisories about the pinned versions? (pip-audit; needs the network)
# make lint   ruff and mypy
# make release-check   build wheel, sdist and image, and try them; make release: for the tagged commit (docs/releasing.md)
# ARGS go to pytest, or to the benchmark: make test ARGS="tests/unit -k digest"

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt
# Without isolation, so that the build backend's version is a constraint's too.
EDITABLE := $(PIP) --no-build-isolation --editable
# Debian packages that the tests need and that no wheel brings: a SIP registrar, phones to try it with, PHP,
# a database, an SSH server, a spreadsheet, and a browser.
DEBIAN_PACKAGES := systemd kamailio kamailio-sqlite-modules kamailio-tls-modules sqlite3 sip-tester baresip-core php-cli \
    mariadb-server openssh-server libreoffice-calc-nogui groff chromium zsh fish
# Twice the cores of a small machine: most tests of processes and servers wait rather than compute.
PROCESSES ?= 4
# redis-server comes in a wheel, but for Python 3.14 there is none.
REDIS = $(shell $(PYTHON) -c 'import sys; print("redis-server" if sys.version_info >= (3, 14) else "")')
# Debian's npm brings some hundred packages: only where there is none.
NPM = $(shell command -v npm > /dev/null || echo npm)
# Finds what keeps people from using a page; the tests run it in the browser.
AXE := axe-core@4.14.1
SUDO := $(shell test "$$(id -u)" = 0 || echo sudo)

.PHONY: demo quick test chaos hostile fuzz-rosters fuzz-formats bench stages shape screenshots docs audit lint format \
    release-check release ci-packages clean

demo: $(VENV)/program
	@$(VENV)/bin/siproster demo

# Without random inputs, and of the whole program only its main paths.
quick: $(VENV)/everything
	$(VENV)/bin/python -m pytest --numprocesses 2 --dist worksteal --ignore-glob='*/test_fuzz_*' --ignore-glob='*_hostile.py' tests/unit \
	    tests/system/test_json.py tests/system/test_import.py $(ARGS)

test: $(VENV)/everything
	$(VENV)/bin/python -m pytest --numprocesses $(PROCESSES) --dist worksteal $(ARGS)

chaos: $(VENV)/everything
	$(VENV)/bin/python -m tests.chaos.campaign $(if $(SEED),--seed $(SEED)) $(if $(SECONDS),--seconds $(SECONDS))

hostile: $(VENV)/everything
	$(VENV)/bin/python -m tests.chaos.hostile $(if $(SEED),--seed $(SEED)) $(if $(SCENARIOS),--scenarios $(SCENARIOS))

fuzz-rosters: $(VENV)/everything
	$(VENV)/bin/python -m tests.chaos.fuzz_rosters $(if $(SEED),--seed $(SEED)) $(if $(ROSTERS),--rosters $(ROSTERS))

fuzz-formats: $(VENV)/everything
	$(VENV)/bin/python -m tests.chaos.fuzz_formats $(if $(SEED),--seed $(SEED)) $(if $(INPUTS),--inputs $(INPUTS))

# Some ten minutes, on a machine that has nothing else to do; writes docs/benchmarks.
bench: $(VENV)/everything
	$(VENV)/bin/python -m tests.benchmarks $(ARGS)

stages: $(VENV)/everything
	$(VENV)/bin/python -m tests.benchmarks.stages $(ARGS)

screenshots: $(VENV)/everything
	$(VENV)/bin/python -m tests.screenshots

shape: $(VENV)/everything
	$(VENV)/bin/python -m tests.benchmarks.shape $(ARGS)

docs: $(VENV)/everything
	$(VENV)/bin/python -m tests.unit.man_page
	$(VENV)/bin/python -m tests.documents

# In a virtual environment of its own: what it needs is none of what is audited.
audit:
	@$(PYTHON) -m venv $(VENV)-audit
	@$(VENV)-audit/bin/python -m pip --disable-pip-version-check --quiet install pip-audit==2.10.1
	$(VENV)-audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

lint: $(VENV)/everything
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy --strict

format: $(VENV)/everything
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

release-check: $(VENV)/everything
	$(VENV)/bin/python -m tests.release

release: $(VENV)/everything
	$(VENV)/bin/python -m tests.release --final

ci-packages:
	$(SUDO) apt-get update --quiet=2
	$(SUDO) apt-get install --quiet=2 --yes --no-install-recommends $(DEBIAN_PACKAGES) $(REDIS) $(NPM)

clean:
	rm -rf $(VENV) $(VENV)-audit .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The virtual environment is made anew only when what it is made from changes.
$(VENV)/program: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "siproster needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	@echo "Setting up $(VENV) ..."
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) hatchling editables
	@$(EDITABLE) .
	@touch $@

$(VENV)/everything: $(VENV)/program
	@echo "Adding what the tests need ..."
	@$(EDITABLE) '.[dev]'
	@npm install --prefix $(VENV)/npm --no-save --ignore-scripts --no-audit --no-fund --silent $(AXE)
	@touch $@
