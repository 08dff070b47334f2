"""The estimate: what it counts, what it is fitted to, and what it refuses."""

import json
from dataclasses import replace

import pytest

from spikewright.boards.board import Family
from spikewright.boards.calibrate import FITTED, REFERENCE, Sample, compared
from spikewright.boards.catalog import BOARDS
from spikewright.boards.design import BoardDesign
from spikewright.boards.estimate import (
    CALIBRATION,
    Area,
    Weights,
    estimate,
    estimate_area,
    fit_weights,
    measured_area,
)
from spikewright.boards.structure import FEATURES, Memory, Structure, structure_of
from spikewright.hdl.core import Core
from spikewright.hdl.emit import to_rtlil
from spikewright.spec import CoreSpec

SPEC = CoreSpec(axons=16, neurons=32, lanes=4, weight_words=512)
NOTHING = Weights((0.0,) * len(FEATURES), (0.0,) * len(FEATURES))


def _structure(*memories: Memory, **features: int) -> Structure:
    return Structure({name: features.get(name, 0) for name in FEATURES}, memories, ())


def test_memories_and_products_of_a_core_are_counted() -> None:
    found = structure_of(to_rtlil(Core(SPEC), name="core"))
    weights = [memory for memory in found.memories if memory.large]
    assert weights == [Memory(SPEC.weight_bits, 512, block=True, large=True)] * SPEC.weight_banks
    bits = sum(memory.width * memory.depth for memory in found.memories)
    named = sum(
        memory.layout.width * memory.depth
        for region, memory in SPEC.memories.items()
        if region.name != "NEURONS"
    )
    assert bits > named
    # Two decays a lane, each of a lower and an upper product.
    assert len(found.products) == 4 * SPEC.lanes


def test_features_grow_with_lanes_and_options() -> None:
    base = structure_of(to_rtlil(Core(SPEC), name="core")).features
    wide = structure_of(to_rtlil(Core(replace(SPEC, lanes=8)), name="core")).features
    shifts = structure_of(to_rtlil(Core(replace(SPEC, decay="shift")), name="core")).features
    growing = [name for name in FEATURES if name != "storage"]  # of level marks, by group
    assert all(wide[name] >= base[name] for name in growing)
    assert wide["register"] > 1.5 * base["register"]
    assert base["product"] > shifts["product"] == 0
    assert shifts["shift"] > base["shift"]


def test_resets_are_no_choice() -> None:
    text = """\
  process $1
    assign $2 [3:0] \\a [3:0]
    switch \\b [0]
      case 1'1
        assign $2 [3:0] 4'0001
    end
    switch \\rst [0]
      case 1'1
        assign $2 [3:0] 4'0000
    end
  end
"""
    assert structure_of(text).features["choice"] == 4


@pytest.mark.parametrize(
    ("family", "memory", "blocks"),
    [
        ("ice40", Memory(16, 256, block=True, large=False), 1),
        ("ice40", Memory(17, 256, block=True, large=False), 2),
        ("ice40", Memory(2, 2048, block=True, large=False), 1),
        ("ecp5", Memory(36, 512, block=True, large=False), 1),
        ("ecp5", Memory(16, 16384, block=True, large=True), 16),
        ("xc7", Memory(9, 2048, block=True, large=False), 1),
        ("ecp5", Memory(8, 16, block=False, large=False), 0),
    ],
)
def test_block_rams_have_the_shapes_of_their_family(
    family: Family, memory: Memory, blocks: int
) -> None:
    assert estimate_area(family, _structure(memory), NOTHING).block_rams == blocks


def test_large_rams_are_the_ice40s() -> None:
    area = estimate_area("ice40", _structure(Memory(16, 32768, True, True)), NOTHING)
    assert (area.large_rams, area.block_rams) == (2, 0)


def test_weights_of_a_law_are_found_again() -> None:
    structures = [_structure(one=1, register=k, logic=k * k) for k in (3, 10, 20, 40)]
    law = [Area(100 + 2 * k + 3 * k * k, 50 + k, 0, 0) for k in (3, 10, 20, 40)]
    area = estimate_area(
        "ecp5", _structure(one=1, register=30, logic=900), fit_weights(structures, law)
    )
    assert (area.luts, area.registers) == (100 + 60 + 2700, 80)


def test_cells_are_counted_by_family() -> None:
    assert measured_area("ecp5", {"LUT4": 10, "CCU2C": 3, "DP16KD": 2}) == Area(16, 0, 2, 0)
    cells = {"SB_LUT4": 9, "SB_DFFSR": 4, "SB_DFF": 1, "SB_SPRAM256KA": 1}
    assert measured_area("ice40", cells) == Area(9, 5, 0, 0, 1)
    assert measured_area("xc7", {"LUT6": 5, "RAMB36E1": 2, "FDRE": 7}) == Area(5, 7, 4, 0)


def test_calibration_is_of_the_present_features() -> None:
    for family, entries in json.loads(CALIBRATION.read_text()).items():
        assert family in ("ice40", "ecp5", "gowin", "xc7")
        assert all(tuple(entry["features"]) == FEATURES for entry in entries)
        assert [CoreSpec.from_dict(entry["spec"]) for entry in entries] == list(FITTED)


@pytest.mark.parametrize("number", [0, -1])
def test_calibration_is_of_the_present_design(number: int) -> None:
    """Or of one so much like it that nothing has to be synthesized again."""
    kept = json.loads(CALIBRATION.read_text())["ecp5"][number]["features"]
    text = to_rtlil(BoardDesign(REFERENCE["ecp5"], FITTED[number]), name="top")
    assert structure_of(text).features == pytest.approx(kept, rel=0.05)


def test_what_is_too_large_is_named_with_by_how_much() -> None:
    found = estimate(BOARDS["icebreaker"], CoreSpec())
    cells, rams, products = found.reasons
    assert cells.startswith("logic cells must be at most 5,280, not about ")
    assert rams.startswith("block RAMs must be at most 30, not ")
    assert products == "multipliers must be at most 8, not 32"


@pytest.mark.parametrize(
    ("area", "fits"),
    [
        (Area(2000, 3000, 30, 8, 4), True),
        (Area(2000, 3000, 31, 8, 4), False),
        (Area(2000, 3000, 30, 9, 4), False),
        (Area(4000, 3000, 30, 8, 4), False),  # registers take cells of their own
    ],
)
def test_comparison_says_whether_the_part_holds_the_core(area: Area, fits: bool) -> None:
    sample = Sample(SPEC, _structure(one=1), area)
    found = compared("ice40", sample, Weights((1000.0,) * len(FEATURES), NOTHING.registers))
    assert (found["off"], found["fits"]) == (1000 / area.luts - 1, fits)
