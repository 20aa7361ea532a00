# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
ENV := .venv/.installed

.PHONY: help env demo test test-all test-server check docs reference dist bench encoder screenshots clean
help: ## say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

env: $(ENV) ## make the environment in .venv
$(ENV): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@start=$$(date +%s); \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[chat,dev,faiss,hf,postgres,serve,train]' && \
	echo "environment installed in $$(( $$(date +%s) - start )) s"
	@touch $(ENV)

demo: $(ENV) ## the whole way on 1,500 example photos, ending in demo/report.html
	$(BIN)/triptych demo --out demo

check: $(ENV) ## linter and type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

screenshots: demo ## make the pictures of the search page in docs/pictures, with the demo's composer (needs chromium)
	TRIPTYCH_SCREENSHOTS=docs/pictures TRIPTYCH_DEMO=demo $(BIN)/python -m pytest tests/test_screenshots.py

test: check ## linter, type checker, and the tests, within 12 minutes
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

test-all: check ## every test, slow ones and those against a real model server too; before an issue is closed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs,ray,server]'
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile -m ""

test-server: check ## the chat reasoner against transformers' own server, about a minute
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[server]'
	$(BIN)/python -m pytest -m server

docs: $(ENV) ## the documentation as a site, in build/site
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/mkdocs build --strict

reference: $(ENV) ## write the generated pages of docs/reference anew
	$(BIN)/python bench/write_reference.py

dist: $(ENV) ## wheel and source archive, in dist
	rm -rf dist
	$(BIN)/python -m build --outdir dist

bench: $(ENV) ## measurements; see bench/README.md
	$(BIN)/python bench/search_start.py
	$(BIN)/python bench/evaluate.py

encoder: $(ENV) ## rebuild the encoder that ships in the package
	bench/wardrobe_encoder.sh

clean: ## remove what was made here
	rm -rf .venv demo runs build dist *.egg-info src/*.egg-info
