"""Graphs with attributes replaced at random: a typed error, or a network that compiles."""

import copy
from itertools import pairwise
from typing import Any

import nir
import numpy as np
from networks import options

from spikewright.compiler import compile_network
from spikewright.errors import SpikewrightError
from spikewright.image import CoreImage

VALUES: list[Any] = [
    0, -1, 1, 2, 7, 1 << 20, 1 << 40, 1 << 70, 1.5, np.nan, np.inf, "same", "x", b"same", None,
    True, (1,), (1, 2, 3), (0, 0), [1, 2], np.array([2, 2]), np.zeros((2, 2)), np.array([]),
    np.array(["a"]), np.ones((2, 4)), np.ones((4, 1, 1)), np.ones((0, 3)),
]  # fmt: skip


def graph() -> nir.NIRGraph:
    """Every primitive that works on its input's shape."""
    rng = np.random.default_rng(0)
    pair = [np.array([2, 2])] * 2
    nodes = {
        "input": nir.Input(np.array([2, 8, 9])),
        "conv": nir.Conv2d((8, 9), rng.normal(size=(4, 1, 3, 2)), (2, 1), (1, 0), (1, 2), 2,
                           rng.normal(size=4)),
        "if": nir.IF(np.ones((4, 4, 7)), np.ones((4, 4, 7))),
        "pool": nir.AvgPool2d(*pair, np.array([0, 1])),
        "same": nir.Conv2d((2, 4), rng.normal(size=(3, 4, 3, 3)), 1, "same", 1, 1, np.zeros(3)),
        "flat": nir.Flatten({"input": np.array([3, 2, 4])}, 1, 2),
        "line": nir.Conv1d(8, rng.normal(size=(2, 3, 3)), 2, 1, 1, 1, np.zeros(2)),
        "delay": nir.Delay(np.full((2, 4), 2.0)),
        "threshold": nir.Threshold(np.full((2, 4), 0.1)),
        "i": nir.I(np.ones((2, 4))),
        "output": nir.Output(np.array([2, 4])),
    }  # fmt: skip
    return nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)


def test_mutants_are_refused_or_compile() -> None:
    rng = np.random.default_rng(7)
    whole = graph()
    skipped = ("metadata", "output_type")
    places = [(n, f) for n, node in whole.nodes.items() for f in vars(node) if f not in skipped]
    compiled = 0
    refused: list[SpikewrightError] = []
    for _ in range(300):
        mutant = copy.deepcopy(whole)
        for _ in range(rng.integers(1, 3)):
            name, field = places[rng.integers(len(places))]
            value = VALUES[rng.integers(len(VALUES))]
            setattr(mutant.nodes[name], field, {"input": value} if field == "input_type" else value)
        try:
            assert isinstance(compile_network(mutant, options()), CoreImage)
            compiled += 1
        except SpikewrightError as error:
            refused.append(error)
    print(f"seed 7: {compiled} compiled, {len(refused)} refused")
    assert min(compiled, len(refused)) > 10
    assert [error for error in refused if not error.hint] == []
