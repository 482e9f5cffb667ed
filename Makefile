# Every target makes what it needs; see CONTRIBUTING.md.
#   make PYTHON=python3.12      uses another Python for new environments
#   make test ARGS='-k jvp'     passes arguments on to pytest
#   make test-shuffled SEED=3   runs the files of the tests in the order of that seed
#   make test-outside SLICE=10  runs one test in ten of it, the same ones everywhere

PYTHON ?= python3
# One more than cores: tests of processes wait.
WORKERS ?= 3
ARGS ?=
SLICE ?= 1
SEED := $(or $(SEED),$(shell date +%s))
TARGET ?= cpu
export PYTHON

BIN := .venv/bin

.DELETE_ON_ERROR:
.PHONY: help demo test test-examples test-long test-shuffled test-outside test-deploy test-wheel \
	test-floor check \
	check-style check-types check-imports check-stubs check-docs check-proto check-deploy format \
	proto docs prometheus-rule bench trace-call gpu-check load locust clean lock image image-test

help:
	@echo 'make demo        shows what gradwire does, against a server of its own'
	@echo 'make test        runs the tests; make test-long the ones that take minutes'
	@echo 'make test-examples  runs the examples and the demo with their checks on'
	@echo 'make test-shuffled  runs the files in another order; SEED=3 in the same one again'
	@echo 'make test-outside  compares it with suites of PyTorch, SciPy and NumPy; SLICE=10: a tenth'
	@echo 'make test-deploy runs servers behind a real Envoy, the dashboard and the alerts'
	@echo 'make test-wheel  installs the wheel without extras and tests that thin client'
	@echo 'make test-floor  does the same on the oldest dependencies that are allowed'
	@echo 'make check       style, types, layers, generated files, the wire contract'
	@echo 'make check-deploy  everything under deploy/ that can be checked without running it'
	@echo 'make format      formats the sources'
	@echo 'make proto       generates client/gradwire/v1; make docs generates docs/{opset,settings}.md'
	@echo 'make bench       measures; make trace-call counts the files that a call goes through'
	@echo 'make gpu-check   checks numbers, memory and restarts on this machine'\''s device, and measures'
	@echo 'make image       builds the image of the server; TARGET=cuda the one for GPUs'
	@echo 'make image-test  builds it, runs it as the manifests do, and tests it; as root'
	@echo 'make lock        pins what the image installs'
	@echo 'make load        finds the load that a server carries; OUT=folder writes the picture'
	@echo 'make locust      simulates users of a server: ARGS="--host 127.0.0.1:8701"'
	@echo 'make clean       removes everything that was built, environments included'

# The stamps stand for .venv with an extra installed, in place.
.venv/installed-%: pyproject.toml scripts/make-venv
	@scripts/make-venv .venv
	@echo 'Installing gradwire[$*] into .venv; the first time takes a minute or two.'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

.venv-proto/installed: scripts/proto-requirements.txt scripts/make-venv
	@scripts/make-venv .venv-proto
	@.venv-proto/bin/python -m pip install --quiet --disable-pip-version-check \
		--requirement scripts/proto-requirements.txt
	@touch $@

# Apart from .venv, because it holds a pytest plugin and 100 MB of schemas.
.venv-deploy/installed: pyproject.toml scripts/make-venv
	@scripts/make-venv .venv-deploy
	@echo 'Installing gradwire[deploy] into .venv-deploy; the first time takes a minute or two.'
	@.venv-deploy/bin/python -m pip install --quiet --disable-pip-version-check \
		--editable '.[deploy]'
	@touch $@

# Apart from .venv, because torch is 200 MB, and 5 GB where it brings CUDA.
.venv-outside/installed: pyproject.toml scripts/make-venv
	@scripts/make-venv .venv-outside
	@echo 'Installing gradwire[outside] into .venv-outside; the first time takes a minute or two.'
	@.venv-outside/bin/python -m pip install --quiet --disable-pip-version-check \
		--editable '.[outside]'
	@touch $@

demo: .venv/installed-demo
	$(BIN)/python examples/demo.py

# The tests of one file stay in one worker, for they share a server. Most of the time goes
# into compiling; the other targets compile as a server does. Files go out in their order:
# xdist would begin with those of the most tests, and end with the few that are slow.
test: .venv/installed-dev
	$(BIN)/python -m pytest -m 'not long and not deploy and not image and not example' --quick-compiles \
		--numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-shuffled: .venv/installed-dev
	@echo 'The order of the files follows from SEED=$(SEED).'
	$(BIN)/python -m pytest -m 'not long and not deploy and not image and not example' --quick-compiles \
		--numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder \
		--shuffle-files $(SEED) $(ARGS)

# Apart from the others, since nobody waits for their minutes while writing code.
test-examples: .venv/installed-dev
	$(BIN)/python -m pytest -m 'example and not long' --quick-compiles \
		--numprocesses $(WORKERS) --dist load $(ARGS)

test-long: .venv/installed-dev
	$(BIN)/python -m pytest -m long --timeout 3600 $(ARGS)

# What pyproject.toml keeps out of the other targets: PyTorch is in no other environment.
test-outside: .venv-outside/installed
	.venv-outside/bin/python -m pytest tests/outside --slice $(SLICE) --numprocesses $(WORKERS) $(ARGS)

# Against programs that aren't Python's: Envoy and Prometheus.
test-deploy: .venv/installed-dev
	scripts/get-prometheus build/prometheus
	PATH="$(CURDIR)/build/prometheus:$$PATH" $(BIN)/python -m pytest -m 'deploy and not long' tests/deploy $(ARGS)

test-wheel test-floor: test-%:
	scripts/test-install $*

check: check-style check-types check-imports check-stubs check-docs check-proto

check-style: .venv/installed-dev
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/shellcheck $$(grep -rlI '^#!.*sh$$' .ci deploy scripts)

check-types: .venv/installed-dev
	$(BIN)/mypy

check-imports: .venv/installed-dev
	$(BIN)/lint-imports --no-logo

check-stubs: .venv-proto/installed
	scripts/check-stubs .venv-proto

check-docs: .venv/installed-dev
	@$(BIN)/python -m gradwire.opset.reference | cmp -s - docs/opset.md || \
		{ echo 'docs/opset.md is stale: run `make docs`.' >&2; exit 1; }
	@$(BIN)/python scripts/settings-page | cmp -s - docs/settings.md || \
		{ echo 'docs/settings.md is stale: run `make docs`.' >&2; exit 1; }

check-proto:
	scripts/check-proto

check-deploy: .venv-deploy/installed
	scripts/check-deploy .venv-deploy

format: .venv/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

proto: .venv-proto/installed
	scripts/generate-stubs .venv-proto client

docs: .venv/installed-dev
	mkdir -p docs
	$(BIN)/python -m gradwire.opset.reference > docs/opset.md
	$(BIN)/python scripts/settings-page > docs/settings.md

prometheus-rule:
	scripts/prometheus-rule > deploy/kubernetes/components/monitoring/prometheus-rule.yaml

# XLA writes a screenful of harmless errors for each executable it loads.
trace-call: .venv/installed-dev
	@TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python scripts/trace-call

bench: .venv/installed-dev
	$(BIN)/python benchmarks/run.py $(ARGS)

# On a machine without .venv: python3 scripts/gpu-check --wheels FOLDER.
gpu-check: .venv/installed-dev
	$(BIN)/python scripts/gpu-check $(ARGS)

image:
	deploy/image/build $(TARGET)

image-test: .venv/installed-dev
	deploy/image/test $(ARGS)

lock: .venv/installed-dev
	deploy/image/lock $(ARGS)

load: .venv/installed-load
	$(BIN)/python deploy/load/open_loop.py $(if $(OUT),--out $(OUT)) $(ARGS)

locust: .venv/installed-load
	@mkdir -p build
	$(BIN)/locust -f deploy/load/locustfile.py --headless --html build/locust.html $(ARGS)

clean:
	rm -rf .venv .venv-proto .venv-deploy .venv-outside .venv-wheel .venv-floor build dist
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find client server tests examples benchmarks scripts -name __pycache__ -type d -prune \
		-exec rm -rf {} + 2>/dev/null || true
