# Everything runs in .venv, which is made from pyproject.toml by the Python named here (3.11 or newer).
PYTHON ?= python3

.PHONY: search test docs clean

search: .venv/installed
	.venv/bin/python search.py

# The oldest processor that PyTorch knows, so another one than this: rounding differs, and no test may depend on it.
OTHER_PROCESSOR = ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 OMP_NUM_THREADS=2

# Two processes of one thread: the networks of the tests are too small for more threads, and threads that wait for a busy
# core spin. Bytecode is kept also where a machine is set not to: the tests' many processes would compile the project each.
test: .venv/installed-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 .venv/bin/pytest --numprocesses 2 --dist loadfile
	$(OTHER_PROCESSOR) .venv/bin/pytest tests/test_distributed.py tests/test_lanes.py

docs: .venv/installed-dev
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs serve

.venv/installed: pyproject.toml
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --editable .
	touch $@

.venv/installed-dev: pyproject.toml
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --editable '.[dev]'
	touch $@ .venv/installed

clean:
	rm -rf .venv build site *.egg-info
