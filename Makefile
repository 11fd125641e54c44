# `make` alone prints this page. Every target makes what it needs, from a bare Python 3.11 to 3.13.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= $(CURDIR)/runs/demo
UV := 0.13.8
# Tests start many processes, and half of what a start costs would be to compile the libraries anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo serve test fast check format lock clean

help: ## print the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(VENV)/.done: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv==$(UV)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

demo: $(OUT)/bundle/report.json $(OUT)/index/report.json ## install, then audit and judge attacks on photographs, search them, and paint from one, on a local Ray
	$(BIN)/python jobs/evaluate.py --bundle $(OUT)/bundle --manifest $(OUT)/manifest --out $(OUT)/evaluation
	$(BIN)/python jobs/index.py --index $(OUT)/index --query "a cat" --where "label = 0" --out $(OUT)/search
	$(BIN)/python jobs/generate.py --init starter:flower --prompt "a pink tulip on a green background" \
	  --strength .3 .5 .7 1 --guidance-scale 1 3 7.5 --out $(OUT)/painted
	$(BIN)/python jobs/mockup.py --products starter:coffee --templates mug poster --out $(OUT)/mockups

serve: $(OUT)/bundle/report.json $(OUT)/index/report.json ## install, then serve the starter models on this machine until Ctrl-C
	$(BIN)/python -m serving

$(OUT)/manifest/report.json: | $(VENV)/.done
	$(BIN)/python jobs/manifest.py --source starter: --splits .5 .2 .3 --out $(@D)

$(OUT)/bundle/report.json: | $(OUT)/manifest/report.json
	$(BIN)/python jobs/preprocess.py --manifest $(OUT)/manifest --out $(OUT)/preprocessed
	$(BIN)/python jobs/embed.py --manifest $(OUT)/preprocessed --encoder starter-features --out $(OUT)/embeddings
	$(BIN)/python jobs/audit.py --manifest $(OUT)/preprocessed --embeddings $(OUT)/embeddings --out $(OUT)/audit
	$(BIN)/python jobs/probe.py --embeddings $(OUT)/embeddings --probe mlp --audit $(OUT)/audit --out $(@D)

$(OUT)/index/report.json: | $(OUT)/manifest/report.json
	$(BIN)/python jobs/index.py --manifest $(OUT)/manifest --encoder starter --out $(@D)

test: $(VENV)/.done ## the whole suite: fast and slow tests, then those on Ray and in a browser
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 -m "not ray and not kill and not web"
	$(BIN)/pytest -m "ray or kill or web"

fast: $(VENV)/.done ## the tests that need neither Ray nor a browser
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 -m "not ray and not kill and not slow and not web"

check: $(VENV)/.done ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.done ## write the format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## pin every dependency again (no address goes into the file)
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
	  --no-emit-index-url --no-emit-find-links --no-header --upgrade --quiet --output-file requirements.lock

clean: ## remove the environment and the demo's run
	rm -rf $(VENV) $(OUT)
