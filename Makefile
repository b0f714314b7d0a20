# Each target builds what it needs: an environment in .venv, made anew when pyproject.toml changes.
PYTHON ?= python3
VENV   ?= .venv
SEED   ?= 20000123
PHOTO  ?=
BIN    := $(VENV)/bin

.PHONY: demo app docs test test-fast test-long lint clean
.DEFAULT_GOAL := demo

$(VENV)/.core: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q torch torchvision
	$(BIN)/python -m pip install -q -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python -m pip install -q -e ".[dev]"
	@# Quantus asks for the OpenCV that needs a screen's libraries; with the one without them it is as content.
	$(BIN)/python -m pip install -q --no-deps "quantus>=0.6"
	@# torchattacks asks for a requests of 2021, and needs none.
	$(BIN)/python -m pip install -q --no-deps "torchattacks==3.5.1"
	@touch $@

$(VENV)/.app: $(VENV)/.core
	$(BIN)/python -m pip install -q -e ".[app]"
	@touch $@

# The web demo, in the browser; ARGS="--model torchvision:resnet50" for more.
app: $(VENV)/.app
	$(BIN)/mmcam app $(ARGS)

# The documentation, into site/index.html; whatever Sphinx warns of is an error, and nothing is fetched.
docs: $(VENV)/.dev
	$(BIN)/python -m sphinx -q -W --keep-going -c docs . site

demo: $(VENV)/.core
	$(BIN)/mmcam demo $(if $(PHOTO),--photo "$(PHOTO)") --seed $(SEED) --out out

# All but the long ones, and of those always the same tenth; a file stays in one process, which shares its models.
test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

# What one runs while writing: no experiments, nothing slow.
test-fast: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --long none -m "not slow" --ignore tests/experiments

test-long: $(VENV)/.dev
	$(BIN)/python -m pytest --long all -m long

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) out site build dist *.egg-info
