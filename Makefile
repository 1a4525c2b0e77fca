# Everything is installed into .venv; only git, make and Python 3.11 or later with venv are needed.
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
WORKERS ?= 2

# One thread a worker: the workers already fill the cores. SCIPY_ARRAY_API lets scikit-learn run its array API check.
PYTEST_ENV = OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 MPLBACKEND=Agg SCIPY_ARRAY_API=1
PIP_INSTALL = pip install --quiet --disable-pip-version-check
constrained = $(if $(CONSTRAINTS),-c $(CONSTRAINTS))

.PHONY: test test-oldest test-newest lint docs demo bench clean

test: lint
	$(PYTEST_ENV) .venv/bin/python -m pytest -n $(WORKERS)

lint: .venv/.test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# What the old scikit-learn itself does to today's pytest and scipy is no error. It reads names of columns of polars by
# a protocol that polars 1.40 deprecates.
OLD_WARNINGS = -W 'ignore:Passing a non-Collection iterable' -W 'ignore:scipy.optimize'

test-oldest: .venv-oldest/.test
	$(PYTEST_ENV) .venv-oldest/bin/python -m pytest -n $(WORKERS) $(OLD_WARNINGS) tests

# The newest releases of everything, without constraints; installed anew when pyproject.toml changes, or after `make clean`.
test-newest: .venv-newest/.test
	$(PYTEST_ENV) .venv-newest/bin/python -m pytest -n $(WORKERS) tests

# Always built as a whole: what autosummary and the gallery write into the sources is removed first.
DOCS_WRITTEN = build/docs docs/api/generated docs/gallery
docs: .venv/.docs
	rm -rf $(DOCS_WRITTEN)
	$(PYTEST_ENV) .venv/bin/python -m sphinx -n -W --keep-going -q -j $(WORKERS) docs build/docs
	.venv/bin/python -m docs.check build/docs

demo: .venv/.plot
	.venv/bin/python -m benchmarks.demo --out demo

bench: .venv/.plot
	.venv/bin/python -m benchmarks.import_time
	.venv/bin/python -m benchmarks.throughput

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.test .venv/.plot .venv/.docs: .venv/.%: .venv/bin/python pyproject.toml $(CONSTRAINTS)
	.venv/bin/python -m $(PIP_INSTALL) $(constrained) -e '.[$*]'
	touch $@

.venv-oldest/.test: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m $(PIP_INSTALL) $(constrained) -e '.[test]' 'scikit-learn==1.6.*' 'pandas<3' 'polars<1.40'
	touch $@

.venv-newest/.test: pyproject.toml
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m $(PIP_INSTALL) -e '.[test]'
	touch $@

clean:
	rm -rf .venv .venv-oldest .venv-newest demo $(DOCS_WRITTEN)
