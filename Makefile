# make demo, make test: everything else is a part of these two, but for test-ha, which is apart. Only `make test` may
# need root, to install programs; `make test-ha` does.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PARTS := setup.cfg pyproject.toml
# One more than there are processors: a good part of each test is waiting.
WORKERS ?= $(shell expr $$(nproc) + 1)

.PHONY: demo test test-sim test-releases test-ha matrix lint doc clean
# In order, also under -j: pytest's summary is the last thing that is read.
.NOTPARALLEL:

demo: $(VENV)/.with-lab
	$(BIN)/stackmend demo

test: lint doc
	tests/hosts/install
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m 'not long'

# The part that needs neither root nor the real OpenStack lab.
test-sim: lint doc
	$(BIN)/python -m pytest -n $(WORKERS) -m 'not openstack and not hosts'

# What holds on a real OpenStack, on each release that the lab has, one after another; also what takes long.
test-releases: $(VENV)/.with-test
	set -e; releases=$$($(BIN)/python -c 'from stackmend.lab.openstack.releases import RELEASES; print(*RELEASES)'); \
	failed=; for release in $$releases; do \
	  $(BIN)/python -m pytest -m openstack tests/contract tests/openstack --openstack-release $$release \
	  || failed="$$failed $$release"; \
	done; \
	test -z "$$failed" || { echo "failed on$$failed" >&2; exit 1; }

# Compute HA: Pacemaker fences a compute host that is a machine, and stackmend recovers it. Root; the machines, their
# network and their disks are in namespaces that end with the command.
test-ha: $(VENV)/.with-test
	tests/ha/install
	PYTHONPATH=tests $(BIN)/python -m ha.machines
	unshare --net --mount sh -c 'ip link set lo up && exec "$$@"' - $(BIN)/python -m pytest tests/ha

# Every procedure interrupted at every instant, every call failing in every way; writes doc/crash-matrix.md. Again, it
# goes on with what has not passed (pytest's 5: nothing is left); `make clean` forgets what has.
matrix: $(VENV)/.with-test
	mkdir -p build
	STACKMEND_TEST_EVERY=1 STACKMEND_MATRIX_LEDGER=build/matrix.jsonl STACKMEND_MATRIX_PAGE=doc/crash-matrix.md \
	  $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup tests/crash tests/properties tests/openstack/test_killed.py \
	  || test $$? -eq 5

lint: $(VENV)/.with-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

doc: $(VENV)/.with-test
	$(BIN)/sphinx-build -W --keep-going -q -b html doc doc/_build/html

# The stamps are newer than what they were installed from, or the installation is brought up to date.
$(VENV)/.with-lab: $(PARTS) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[lab]'
	touch $@

$(VENV)/.with-test: $(PARTS) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,doc]'
	touch $@ $(VENV)/.with-lab

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "stackmend needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1): run make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "$(PYTHON) can't make a virtual environment: install its venv module (Debian: python3-venv)" >&2; exit 1; }

clean:
	rm -rf $(VENV) build dist doc/_build demo *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
