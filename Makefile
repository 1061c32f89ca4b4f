# `make demo`: set up, and make a small dataset with the embedded model.  `make test`: set up, and check what the package does.
# `make check`: everything that CI runs, for whoever changes the code; it is `lint test slow avx2 docs`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Files of tests that run at once, each in a process of its own.
JOBS ?= 2
# uv installs in a quarter of pip's time, from the same places: what pip's configuration says about them is handed over.
from_pip = "$$($(BIN)/python -m pip config list | sed -n "s/^[^=]*\.$(1)='\(.*\)'$$/\1/p" | tail -1)"
INSTALL = UV_INDEX_STRATEGY=unsafe-best-match UV_FIND_LINKS=$(call from_pip,find-links) \
  UV_DEFAULT_INDEX=$(call from_pip,index-url) UV_INDEX=$(call from_pip,extra-index-url) \
  $(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt

# As a CPU without AVX-512 computes. torch, oneDNN, MKL, NumPy and the OpenBLAS of NumPy and SciPy each choose by the CPU, and each has a
# variable of its own; NumPy passes over the names that its version does not know.
AVX2 = ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 OPENBLAS_CORETYPE=Haswell SEEDIFF_BF16=0 \
  NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"

PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

# Where Python may not keep compiled modules, every start would take seconds longer.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test slow lint avx2 docs check quick readers setup clean

# Three sizes, as a newcomer should not wait for what only developers need: the package; what its tests import; everything.
# Modules are compiled when they are first imported: most never are.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check uv
	$(INSTALL) -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(INSTALL) -e ".[test]"
	touch $@

setup: $(VENV)/.installed-dev
$(VENV)/.installed-dev: $(VENV)/.installed-test
	$(INSTALL) -e ".[dev]"
	touch $@

demo: $(VENV)/.installed
	$(BIN)/seediff generate --classes dog,cat,car,boat --per-class 3 --out demo

# The product: every method, format, command and refusal.
test: $(VENV)/.installed-test
	$(PYTEST) --no-loadscope-reorder -m "not slow and not pages" --durations=10 --durations-min=2

check: lint test slow avx2 docs

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

# Machines and research: further model families and pipelines, a pretended GPU, workers that die, the recipes.
slow: setup
	$(PYTEST) --no-loadscope-reorder -m "slow and not pages" --durations=10 --durations-min=2

# The core against its references, and reading: under a minute, on every system.
quick:
	$(BIN)/python -m pytest tests/metrics tests/prompts tests/segments tests/masks/test_methods_of_masks.py tests/masks/test_pamr.py

# What depends on how a CPU rounds, a second time.
avx2: setup
	@if grep -qw avx512f /proc/cpuinfo; then set -x; \
	  env $(AVX2) $(PYTEST) --no-loadscope-reorder -m arithmetic; \
	else echo "This CPU has no AVX-512: \`make test\` has run as on such a CPU, and a second run would compute the same."; fi

# Exported sets by the tools' own readers, each in an environment of its own: gigabytes, once.
readers: setup
	test -d .tools || $(BIN)/python benchmarks/readers.py --install .tools
	SEEDIFF_TOOLS=.tools $(BIN)/python -m pytest tests/dataset/formats/test_tools.py

# Warnings are errors, nothing of an earlier build is taken over, and all commands and notebooks are run. Open build/site/index.html.
docs: setup
	rm -rf build/site
	$(BIN)/python -m sphinx -W --keep-going -q -E -j auto -c website -d build/doctrees . build/site
	$(BIN)/python website/check.py build/site
	$(PYTEST) -m pages tests/test_docs.py tests/test_notebooks.py
	@echo build/site/index.html

clean:
	rm -rf $(VENV) demo build/site build/doctrees
