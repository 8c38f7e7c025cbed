# Each target makes .venv itself; delete .venv to start afresh.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
INSTALLED := $(VENV)/installed-base
INSTALLED_DEV := $(VENV)/installed-dev

.PHONY: help demo test browser wheel container bench bench-gpu soak format clean

help:
	@echo "make demo   the bundled style on the example pictures and film, results in out/"
	@echo "make test   ruff, mypy and pytest"
	@echo "make wheel  the wheel, and the demo with it in an empty environment: build/wheel/"
	@echo "make container  the image sgt, and the demo in it (docker)"
	@echo "make browser  installs Chromium, and tries the gallery's page in it"
	@echo "make bench  speed and memory, as ratios; writes bench.json"
	@echo "make bench-gpu  pictures a second on the GPU, and its share of the time"
	@echo "make soak   a thousand pictures, models and films that are bad in every way: none may end wrongly"
	@echo "make format ruff's formatter and fixes"

demo: $(INSTALLED)
	$(BIN)/sgt demo

test: $(INSTALLED_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# As a user gets it: the newest dependencies that it allows, and no checkout in sight.
wheel:
	rm -rf build/wheel
	$(PYTHON) -m venv build/wheel/empty
	$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/wheel .
	build/wheel/empty/bin/python -m pip install --quiet --disable-pip-version-check build/wheel/*.whl
	cd build/wheel && empty/bin/sgt doctor && empty/bin/python -m stylegan_tool demo
	du -sh build/wheel/*.whl build/wheel/empty

container:
	docker build --tag sgt .
	mkdir -p build/container
	docker run --rm sgt doctor
	docker run --rm --user "$$(id -u):$$(id -g)" --volume "$$PWD/build/container:/work" sgt demo
# A browser is no Python package: Debian's and Ubuntu's own; elsewhere one is installed by hand and named by CHROMIUM.
browser: $(INSTALLED_DEV)
	$(PIP) -e '.[browser]'
	@if [ -n "$$CHROMIUM" ] || command -v chromium >/dev/null || command -v chromium-browser >/dev/null; then :; \
	elif command -v apt-get >/dev/null; then \
	  sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; $$sudo apt-get update && $$sudo apt-get install -y chromium; \
	else echo "There is no apt-get here. Install Chromium, then: make browser CHROMIUM=/path/to/chromium"; exit 1; fi
	$(BIN)/pytest tests/browser

bench: $(INSTALLED_DEV)
	$(BIN)/python -m bench.bench

bench-gpu: $(INSTALLED_DEV)
	$(BIN)/python -m bench.bench_gpu

soak: $(INSTALLED_DEV)
	$(BIN)/python -m tests.faults.soak $(SOAK)

format: $(INSTALLED_DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The inference side alone: no torch.
$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

# Everything; it holds the inference side, so that `make demo` after it has nothing to install.
$(INSTALLED_DEV): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[dev]'
	@touch $(INSTALLED) $@
