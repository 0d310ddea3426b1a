PY := .venv/bin/python
VIDEO ?=
HEADLESS ?=
PORT ?= 8000
export PYTHONUNBUFFERED = 1

.PHONY: setup setup-dev demo up test check bench apt

.venv/.runtime: requirements.txt deploy/opencv-python/pyproject.toml ; @python3 -m venv .venv && echo "Installing packages into .venv (a minute or two the first time)" && $(PY) -m pip install -q --disable-pip-version-check -r requirements.txt && touch $@
.venv/.dev: .venv/.runtime requirements-dev.txt ; @$(PY) -m pip install -q --disable-pip-version-check -r requirements-dev.txt && touch $@
setup: .venv/.runtime
setup-dev: .venv/.dev
demo: setup ; @exec $(PY) manage.py demo --port $(PORT) $(if $(HEADLESS),--headless) $(if $(VIDEO),--video $(VIDEO))
up: setup ; @exec $(PY) manage.py up --port $(PORT)
apt: ; @sh deploy/apt-packages.sh apt.txt
test: setup-dev apt ; @$(PY) -m pytest -n 2 --dist loadscope
check: setup-dev ; @sh deploy/check.sh
bench: setup-dev ; @$(PY) -m benchmarks $(BENCH)
