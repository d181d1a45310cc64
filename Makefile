# Every target installs what it needs first (scripts/bootstrap: quick when all is there) and asks nothing.
# Continuous integration calls these targets and nothing else.

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
LOCK := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options

# Our own shell programs; the fixtures of the tests are faulty on purpose.
SHELL_PROGRAMS = $(shell git grep -lE '^\#! ?/.*\b(sh|bash|dash)( |$$)' -- .ci bench demo examples packaging scripts vm-tests \
	':!*.py' ':!*.md')

.DEFAULT_GOAL := help
.PHONY: help check shellcheck test vm-test fuzz planted crash demo bench format man wheel deb rpm release lock clean venv \
	run-programs test-programs package-programs .cache/wheels

help: ## say what each target does
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

check: test-programs ## ruff, formatting, mypy, import contract, shellcheck
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy testbed demo bench/no-news conftest.py
	$(BIN)/mypy bench/native-call
	$(BIN)/mypy bench/copy
	$(BIN)/mypy bench/herd
	$(BIN)/mypy bench/peers/rounds
	$(BIN)/mypy vm-tests
	MYPYPATH=packaging $(BIN)/mypy -p pages -p bundle
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory shellcheck

shellcheck:
	shellcheck -x $(SHELL_PROGRAMS)

test: test-programs ## every test this machine can run; the last line counts passed, failed, skipped
	$(PYTEST) tests vm-tests

vm-test: test-programs ## only the scenarios on a booted Debian
	$(PYTEST) vm-tests

fuzz: test-programs ## random post.sh programs, by nodeagent and by the plain shell, for MINUTES (5)
	FUZZ_MINUTES=$(or $(MINUTES),5) $(PYTEST) tests/equivalence/test_generated.py

crash: test-programs ## an apply that is killed, or refused by the disk, at every system call that changes a filesystem
	$(BIN)/python -m tests.crash $(TRIALS)

planted: test-programs ## plant bugs in a copy of the project, one after the other, and name the test that catches each
	$(BIN)/python -m tests.planted

demo: run-programs ## the main job on examples/compute-configs, shown step by step in a sandbox
	$(BIN)/python demo/demo.py

bench: run-programs ## CPU and memory of cycles that find no news, CPU of a native call, time of a copy, as JSON
	$(BIN)/python bench/no-news
	$(BIN)/python bench/native-call
	$(BIN)/python bench/copy

format: venv ## lay the code out, mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

man: venv ## build/pages: man pages, completions, and a nodeagent.toml in which every key is a comment
	PYTHONPATH=packaging:. $(BIN)/python -m pages build/pages

wheel: venv ## dist/nodeagent-*.whl and the source archive
	$(BIN)/python -m build --no-isolation --outdir dist .

.cache/wheels: venv
	packaging/fetch-wheels $@

deb: package-programs .cache/wheels ## dist/nodeagent_VERSION_amd64.deb, with all libraries inside
	packaging/build-deb .cache/wheels dist

rpm: package-programs .cache/wheels ## dist/nodeagent-VERSION-RELEASE.x86_64.rpm, with all libraries inside
	packaging/build-rpm .cache/wheels dist

release: package-programs .cache/wheels ## wheel, source archive, deb, RPM, bill of materials and checksums, in dist/
	packaging/release .cache/wheels dist

lock: venv ## pin the dependencies anew, with hashes (UPGRADE=1: newest versions)
	$(LOCK) $(if $(UPGRADE),--upgrade) -o requirements/runtime.txt pyproject.toml
	$(LOCK) $(if $(UPGRADE),--upgrade) -o requirements/build.txt requirements/build.in
	$(LOCK) $(if $(UPGRADE),--upgrade) -o requirements/dev.txt requirements/dev.in

clean: ## remove what was built here
	rm -rf .venv .cache build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

venv:
	@scripts/bootstrap venv

run-programs:
	@scripts/bootstrap run

test-programs:
	@scripts/bootstrap test

package-programs:
	@scripts/bootstrap package
