# Two commands do everything on a fresh machine with Python 3.11+ and make: `make demo`, `make test`.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

# Of the offline cloud; sshd and the rest play the rented machine, SkyPilot and moto live apart from plaintune.
CLOUD ?= .venv-cloud
CLOUD_DEBIAN := rsync openssh-client openssh-server slirp4netns iproute2 lsof fuse3 procps util-linux sudo
CLOUD_PACKAGES := 'skypilot[aws,gcp]==0.14.1' 'moto[server]==5.2.5' uv==0.13.9

.PHONY: demo test test-all test-cloud install clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[train,dev]'
	touch $@

demo: install
	$(BIN)/plaintune demo --yes

test: install
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/pytest -m 'not slow and not cloud'

test-all: install
	$(BIN)/pytest -m slow
	$(MAKE) test-cloud

# Where the offline cloud cannot be (not root, not Linux, a container without mounts), nothing is fetched for it, and
# its tests are skipped with the reason.
test-cloud: install
	if PYTHONPATH=tests $(BIN)/python -m cloud.lab; then $(MAKE) $(CLOUD)/.installed; fi
	PLAINTUNE_LAB=$(abspath $(CLOUD)) $(BIN)/pytest -m cloud -rs

$(CLOUD)/.installed: Makefile
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends $(CLOUD_DEBIAN); fi
	$(PYTHON) -m venv $(CLOUD)
	$(CLOUD)/bin/python -m pip install --quiet $(CLOUD_PACKAGES)
	touch $@

clean:
	rm -rf $(VENV) $(CLOUD)
