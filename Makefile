# Every target makes .venv and installs what it needs first. Only Python 3.11 to 3.13, g++, make
# and perl have to be there. Options go to the program behind a target: make soak ARGS=--help

PYTHON ?= python3
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
VENV := .venv
RUN := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test lint train accuracy learn bench area estimate netlist soak formal hostile link tools clean
.NOTPARALLEL:

help:
	@echo "make demo   trained digits network: golden model, RTL and virtual board, and a report"
	@echo "make test   lint, types and all tests (make test ARGS='-k core' for some of them)"
	@echo "make lint   ruff and mypy alone"
	@echo "make train  train the demo's network again (installs torch)"
	@echo "make accuracy  accuracy by weight bits, learned delays, snnTorch's spikes (installs torch)"
	@echo "make learn  networks that learn on the core, and their figures"
	@echo "make bench  speed of the core and of its models"
	@echo "make area   size and clock on an ECP5 (the first run prepares the tools for minutes)"
	@echo "make estimate  area of a core as estimated before synthesis, against synthesis"
	@echo "make netlist  the iCE40's netlist, simulated, against the golden model"
	@echo "make soak   lockstep at length, resumable"
	@echo "make formal  proofs of the link's blocks, and mutants that they catch"
	@echo "make hostile  damaged files at length: 10,000 of each format"
	@echo "make link   faults on the serial link at length, resumable: 10 million frames, and the RTL"
	@echo "make clean  remove build/ and .venv"

demo: tools $(VENV)/extras-fpga,demo
	$(RUN) examples/digits/demo.py $(ARGS)

test: tools lint
	$(RUN) -m pytest -n $(JOBS) --dist worksteal $(ARGS)

lint: $(VENV)/extras-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

train: $(VENV)/extras-torch,demo
	$(RUN) examples/digits/train.py $(ARGS)

accuracy: tools $(VENV)/extras-fpga,torch,demo
	$(RUN) examples/agreement.py
	$(RUN) examples/delays/measure.py $(ARGS)
	$(RUN) examples/digits/conv.py $(ARGS)
	$(RUN) examples/digits/qat.py $(ARGS)

LEARNING := patterns memory digits reservoir features

learn: tools $(VENV)/extras-fpga,demo
	for name in $(LEARNING); do \
		$(RUN) examples/learning/$$name.py --compare verilator $(ARGS) || exit 1; \
	done

bench: tools $(VENV)/extras-dev
	$(RUN) -m spikewright.sim.bench $(ARGS)
	$(RUN) -m spikewright.learnbench
	$(RUN) -m spikewright.linkbench

area: $(VENV)/extras-fpga
	$(RUN) -m spikewright.boards.area $(ARGS)

estimate: $(VENV)/extras-fpga
	$(RUN) -m spikewright.boards.calibrate $(ARGS)

netlist: tools $(VENV)/extras-fpga,demo
	$(RUN) tests/netlist.py $(ARGS)

soak: tools $(VENV)/extras-fpga
	$(RUN) -m spikewright.sim.soak $(ARGS)

formal: $(VENV)/extras-dev
	$(RUN) tests/prove.py $(ARGS)

hostile: $(VENV)/extras-torch,dev
	$(RUN) tests/hostile.py $(ARGS)

link: tools $(VENV)/extras-dev
	$(RUN) tests/link_soak.py $(ARGS)

tools:
	@for tool in g++ perl; do \
	    command -v $$tool >/dev/null || { \
	        echo "$$tool is not installed; Verilator needs it. On Debian: apt-get install g++ perl" >&2; \
	        exit 1; }; \
	done

$(VENV)/extras-%: pyproject.toml constraints.txt $(VENV)/made
	@echo "Installing spikewright[$*] into $(VENV), which may take some minutes"
	$(RUN) -m pip install --quiet --constraint constraints.txt --editable '.[$*]'
	@touch $@

# The first of these interpreters that is 3.11 to 3.13; the stamp is there only when all went well.
$(VENV)/made:
	@for python in $(PYTHON) python3.13 python3.12 python3.11; do \
	    if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	        2>/dev/null; then \
	        echo "Making $(VENV) with $$($$python --version)"; \
	        $$python -m venv --clear $(VENV) && touch $@; \
	        exit; \
	    fi; \
	done; \
	echo "Spikewright needs Python 3.11 to 3.13; $(PYTHON) is not one of them." >&2; \
	echo "Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
	exit 1

clean:
	rm -rf build $(VENV)
