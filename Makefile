# Everything a newcomer or a contributor types. `make help` lists it.
#
#   VENV    the virtual environment to make and use   (default .venv)
#   PYTHON  the Python that makes it, 3.11 or newer   (default python3)
#   OUTPUT  where `make demo` writes                  (default demo-report)
#   JOBS    tests to run side by side                  (default 2)
#   ARGS    more arguments for pytest                 (make test ARGS="-k tokenizer")

VENV ?= .venv
PYTHON ?= python3
OUTPUT ?= demo-report
ARGS ?=

BIN := $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off \
	--constraint constraints.txt --editable
# Tests side by side, each process computing on one core: compiling does not use more.
JOBS ?= 2
PYTEST = TF_CPP_MIN_LOG_LEVEL=2 OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 \
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal $(ARGS)

# One stamp for each extra, so that a second call installs nothing. The extra `test` contains
# `demo`: where it is installed, its stamp serves both.
TEST := $(VENV)/.installed-test
LINT := $(VENV)/.installed-lint
DEMO := $(if $(wildcard $(TEST)),$(TEST),$(VENV)/.installed-demo)

DOCS := $(VENV)/.installed-docs

.PHONY: help demo test test-jax test-torch test-openvino examples notebooks notebooks-full docs \
	package lint types install clean

help:
	@echo "make demo        real cells through the whole package, drawn in $(OUTPUT)/report.html"
	@echo "make test        the whole test suite, on TensorFlow"
	@echo "make test-jax    every test that touches a tensor, on JAX"
	@echo "make test-torch  every test that touches a tensor, on PyTorch"
	@echo "make test-openvino  what only infers, on OpenVINO"
	@echo "make examples    the examples in docstrings, on PyTorch"
	@echo "make notebooks   every notebook, shortened; make notebooks-full stores their outputs"
	@echo "make docs        the documentation site, in build/site/index.html"
	@echo "make package     wheel and sdist, each installed into a clean environment"
	@echo "make lint        ruff: rules and format; the forms of .github; CITATION.cff"
	@echo "make types       mypy"
	@echo "make install     all that the above need, into $(VENV)"
	@echo "make clean       remove $(VENV) and the caches"

demo: $(DEMO)
	$(BIN)/keras-geneformer demo --output "$(OUTPUT)"

test: $(TEST)
	KERAS_BACKEND=tensorflow $(PYTEST)

# Tests compile the same steps over and over: what one has compiled, the others read.
test-jax: $(TEST)
	JAX_COMPILATION_CACHE_DIR="$(abspath $(VENV))/jax-cache" \
	JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.1 JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=-1 \
		KERAS_BACKEND=jax $(PYTEST) -m tensors

test-torch: $(TEST)
	KERAS_BACKEND=torch $(PYTEST) -m tensors

test-openvino: $(TEST)
	KERAS_BACKEND=openvino $(PYTEST) tests/openvino tests/reference/test_embedding_reference.py \
		tests/reference/test_perturbation_reference.py

# Docstrings are the same on all backends; PyTorch is the one that starts and stops fastest.
examples: $(TEST)
	KERAS_BACKEND=torch $(PYTEST) --doctest-modules --override-ini filterwarnings= keras_geneformer

# The data of the stored outputs, where they are; else notebooks download, or say what stands in.
SHARED := $(abspath $(or $(KERAS_GENEFORMER_SHARED),../shared))
NOTEBOOK_DATA = $(if $(wildcard $(SHARED)/data/counts),KERAS_GENEFORMER_DATA="$(SHARED)/data/counts" \
	KERAS_GENEFORMER_GENE_LISTS="$(SHARED)/data/gene_lists")

notebooks: $(TEST)
	$(NOTEBOOK_DATA) KERAS_BACKEND=$(or $(KERAS_BACKEND),torch) OMP_NUM_THREADS=1 \
		$(BIN)/python notebooks/execute.py --quick --jobs $(JOBS) $(ARGS)

notebooks-full: $(TEST)
	$(NOTEBOOK_DATA) $(BIN)/python notebooks/execute.py $(ARGS)

docs: $(DOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

package: $(TEST)
	PYTHON="$(abspath $(BIN)/python)" bash .ci/package

lint: $(LINT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms \
		.github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/wish.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff

types: $(LINT)
	$(BIN)/mypy

install: $(TEST) $(LINT) $(DOCS)

clean:
	rm -rf "$(VENV)" build .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.installed-%: pyproject.toml constraints.txt | $(VENV)/.made
	@echo "Installing keras_geneformer[$*] into $(VENV): some minutes the first time"
	$(PIP_INSTALL) ".[$*]"
	@touch $@

# An environment that already has a working pip is used as it is.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "keras_geneformer needs Python 3.11 or newer, but '$(PYTHON)' is" \
			"$$($(PYTHON) --version 2>&1 || true). Name another one:" \
			"make $(or $(MAKECMDGOALS),help) PYTHON=python3.12" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv "$(VENV)"
	@touch $@
