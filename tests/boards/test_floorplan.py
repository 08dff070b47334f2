"""Where block RAMs stand on a large ECP5."""

import json
from pathlib import Path

from spikewright.boards.board import PARTS
from spikewright.boards.build import design_of, plan_build
from spikewright.boards.catalog import BOARDS
from spikewright.boards.floorplan import FLOORPLANNED, floorplan
from spikewright.boards.flows import flow_of
from spikewright.boards.tools import run_step
from spikewright.hdl.emit import to_rtlil
from spikewright.spec import CoreSpec

BOARD = BOARDS["ulx3s-85f"]
SMALL = CoreSpec(axons=16, neurons=16, lanes=2, weight_words=256)

BANKS = {f"top.core.rows.weights{bank}.0.{k}": bank for bank in range(4) for k in range(16)}
SUMS = [f"top.core.accumulators.acc{lane}.0.0" for lane in range(8)]
THRESHOLDS = [f"top.core.neurons.v_threshold{lane}.0.{k}" for lane in range(8) for k in range(2)]
STATE = [f"top.core.neurons.state_v.0.{k}" for k in range(5)]
LINK = ["top.receiver.slots.0.0.0", "top.transmitter.slots.0.0.0"]


def column(site: str) -> int:
    return int(site.split("/")[0][1:])


def row(site: str) -> str:
    return site.split("/")[1]


def test_each_block_ram_has_a_site_of_its_own() -> None:
    cells = [*BANKS, *SUMS, *THRESHOLDS, *STATE, *LINK]
    sites = floorplan(cells)
    assert sorted(sites) == sorted(cells)
    assert len(set(sites.values())) == len(cells)


def test_lanes_of_a_bank_are_next_to_each_other_and_what_they_share_is_between() -> None:
    sites = floorplan([*BANKS, *SUMS, *THRESHOLDS, *STATE])
    by_column = sorted(SUMS, key=lambda cell: column(sites[cell]))
    assert [int(cell.split(".acc")[-1][0]) for cell in by_column] == [0, 4, 1, 5, 2, 6, 3, 7]
    line = sorted([*THRESHOLDS, *STATE], key=lambda cell: column(sites[cell]))
    assert line[8:13] == STATE
    assert {row(sites[cell]) for cell in line} == {"Y70"}


def test_weights_are_bank_after_bank_outside_of_what_reads_them() -> None:
    sites = floorplan([*BANKS, *SUMS])
    reading = [column(sites[cell]) for cell in SUMS]
    inside = [
        cell
        for cell in BANKS
        if row(sites[cell]) == "Y46" and min(reading) < column(sites[cell]) < max(reading)
    ]
    assert not inside
    for left, right in ((0, 2), (1, 3)):
        of_left, of_right = (
            [column(sites[cell]) for cell, bank in BANKS.items() if bank == one]
            for one in (left, right)
        )
        assert max(of_left) < min(of_right)


def test_what_has_no_room_is_left_to_the_placer() -> None:
    thresholds = [f"top.core.neurons.v_threshold{lane}.0.{k}" for lane in range(32) for k in (0, 1)]
    weights = [f"top.core.rows.weights0.0.{k}" for k in range(200)]
    sites = floorplan([*thresholds, *weights, *SUMS, "top.core.traces.0.0"])
    assert not {*thresholds, "top.core.traces.0.0"} & sites.keys()
    assert set(SUMS) <= sites.keys()
    assert 0 < len(set(weights) & sites.keys()) < len(weights)


def test_only_boards_with_such_a_part_have_a_floorplan() -> None:
    for board in BOARDS.values():
        titles = [step.title for step in flow_of(board).steps(1)]
        assert ("Floorplan" in titles) is (board.device in FLOORPLANNED)
    assert set(FLOORPLANNED) <= set(PARTS)


def test_it_knows_the_memories_by_the_names_that_synthesis_gives(tmp_path: Path) -> None:
    plan = plan_build(BOARD, SMALL, tmp_path)
    (tmp_path / "top.il").write_text(to_rtlil(design_of(plan), name="top"))
    for name, text in plan.flow.files.items():
        (tmp_path / name).write_text(text)
    for step in plan.flow.synthesis:
        run_step(step, tmp_path)
    cells = json.loads((tmp_path / "top.json").read_text())["modules"]["top"]["cells"]
    block_rams = {name: cell for name, cell in cells.items() if cell["type"] == "DP16KD"}
    assert any("weights" in name for name in block_rams)
    assert [name for name, cell in block_rams.items() if "BEL" not in cell["attributes"]] == []
