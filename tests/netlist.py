"""``make netlist``: the iCE40 netlist of the digits network, simulated, against the golden model.

The device of the iCEBreaker's core is synthesized as for its bitstream, and what Yosys leaves is
compiled with Verilator, with Yosys's own models of the iCE40's cells. A host loads the image and
runs test images over the netlist's UART pins. Writes ``build/netlist.json``.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from spikewright.boards.icebreaker import ICEBREAKER
from spikewright.boards.netlist import ice40_netlist
from spikewright.compiler import CompileOptions, compile_network
from spikewright.files import merge_json
from spikewright.hdl.top import Top
from spikewright.image import CoreImage
from spikewright.runtime.board import SerialTarget
from spikewright.sim.golden import GoldenTarget
from spikewright.sim.virtual import VIRTUAL_LINK, VirtualBoard
from spikewright.spec import CoreSpec
from spikewright.target import RunResult

ROOT = Path(__file__).parents[1]
LINK = replace(
    VIRTUAL_LINK,
    clock_hz=ICEBREAKER.core_hz,
    baud_hz=ICEBREAKER.core_hz // VIRTUAL_LINK.divisor,
    max_payload=ICEBREAKER.max_payload,
    window=ICEBREAKER.window,
)
"""Its clock makes the design what the board's is; only the line is faster."""


def differences(one: RunResult, other: RunResult) -> int:
    """Spikes, potentials and cycles that are not the same."""
    pairs = [(one.spikes, other.spikes), (one.total_cycles, other.total_cycles)]
    if one.v is not None and other.v is not None:
        pairs.append((one.v, other.v))
    return sum(int((a != b).sum()) for a, b in pairs)


def digits_image(spec: CoreSpec) -> tuple[CoreImage, np.ndarray]:
    """The demo's network for a core, and its test images as spikes."""
    sys.path.insert(0, str(ROOT / "examples" / "digits"))
    from data import encode, load
    from model import GRAPH, semantics

    said = semantics()
    names = ("dt", "reset", "reset_delay", "discretization")
    options = CompileOptions(**{name: said[name] for name in names})
    training, test = load()
    image = compile_network(GRAPH, options, spec=spec, calibration=encode(training.pixels[:200]))
    return image, encode(test.pixels)


def main() -> int:
    """Compare; exit code 1 on a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20)
    images = parser.parse_args().images
    spec = ICEBREAKER.spec
    image, spikes = digits_image(spec)
    spikes = spikes[:images]
    golden = GoldenTarget()
    golden.load(image)
    wanted = golden.run(spikes, record_v=True)
    started = time.perf_counter()
    print("Synthesis for the iCE40", flush=True)
    verilog, cells = ice40_netlist(Top(spec, LINK), ROOT / "build" / "netlist", name="board")
    print(f"{cells}\nCompiling the netlist with Verilator (minutes)", flush=True)
    with VirtualBoard(spec, LINK, verilog=verilog) as board:
        print(f"Running {images} images over the netlist's UART", flush=True)
        target = SerialTarget(board.path)
        target.load(image)
        found = target.run(spikes, record_v=True)
        target.close()
        cycles = board.cycles
    wrong = differences(wanted, found)
    seconds = time.perf_counter() - started
    merge_json(
        ROOT / "build" / "netlist.json",
        {
            "spec_hash": spec.hash,
            "image": image.id,
            "cells": cells,
            "images": images,
            "spikes": int(wanted.spikes.sum()),
            "cycles": cycles,
            "differences": wrong,
            "seconds": seconds,
        },
    )
    print(
        f"{images} images, {int(wanted.spikes.sum())} spikes, {cycles} cycles: {wrong} differences "
        f"between the netlist and the golden model, in {seconds:.0f} s."
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
