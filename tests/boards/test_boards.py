"""The boards: pins as amaranth-boards has them, clocks that PLLs give, and constraints."""

import re
from dataclasses import replace
from typing import Any

import pytest
from amaranth_boards.arty_a7 import ArtyA7_35Platform, ArtyA7_100Platform
from amaranth_boards.cmod_a7 import CmodA7_35Platform
from amaranth_boards.icebreaker import ICEBreakerPlatform
from amaranth_boards.orangecrab_r0_2 import OrangeCrabR0_2_25FPlatform
from amaranth_boards.tang_nano_9k import TangNano9kPlatform
from amaranth_boards.ulx3s import ULX3S_12F_Platform, ULX3S_85F_Platform

from spikewright.boards.board import Board
from spikewright.boards.catalog import BOARDS, find_board
from spikewright.boards.design import BoardDesign
from spikewright.boards.flows import constraints, flow_of
from spikewright.boards.plls import PLL, pll_settings
from spikewright.errors import SpecError
from spikewright.hdl.emit import to_rtlil
from spikewright.spec import CoreSpec

SMALL = CoreSpec(axons=8, neurons=8, lanes=1, weight_words=64, state_bits=12)
PLATFORMS = {
    "icebreaker": ICEBreakerPlatform,
    "ulx3s-12f": ULX3S_12F_Platform,
    "ulx3s-85f": ULX3S_85F_Platform,
    "orangecrab-25f": OrangeCrabR0_2_25FPlatform,
    "tangnano9k": TangNano9kPlatform,
    "cmod-a7-35t": CmodA7_35Platform,
    "arty-a7-35t": ArtyA7_35Platform,
    "arty-a7-100t": ArtyA7_100Platform,
}
boards = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)


def _resource(platform: Any, *names: str) -> Any:
    return next(r for r in platform.resources if (r.name, r.number) == (names[0], 0))


def _pins(resource: Any, part: str = "") -> tuple[list[str], bool]:
    ios = resource.ios[0]
    if part:
        ios = next(sub for sub in resource.ios if sub.name == part).ios[0]
    return ios.names, ios.invert


@pytest.mark.parametrize("name", PLATFORMS)
def test_pins_and_clock_are_those_of_amaranth_boards(name: str) -> None:
    platform, board = PLATFORMS[name], BOARDS[name]
    clock = _resource(platform, platform.default_clk)
    assert _pins(clock) == ([board.clock_pin], False)
    assert 1 / float(clock.clock.period) == pytest.approx(board.oscillator_hz)
    if name == "orangecrab-25f":  # no UART of its own: two pins of its connector
        (connector,) = platform.connectors
        assert (board.rx, board.tx) == (connector.mapping["0"], connector.mapping["1"])
    else:
        uart = _resource(platform, "uart")
        assert _pins(uart, "rx") == ([board.rx], False)
        assert _pins(uart, "tx") == ([board.tx], False)
    lights = {
        (pin, inverted)
        for r in platform.resources
        if r.name.startswith(("led", "rgb_led"))
        for names, inverted in [_pins(r, sub.name) for sub in r.ios if hasattr(sub, "ios")]
        or [_pins(r)]
        for pin in names
    }
    for led in (board.image_valid, board.active):
        assert (led.pin, led.inverted) in lights


def test_parts_are_those_of_amaranth_boards() -> None:
    for name in ("cmod-a7-35t", "arty-a7-35t"):  # its 100T is none that Digilent sells
        platform, board = PLATFORMS[name], BOARDS[name]
        part = f"{platform.device}{platform.package}-{platform.speed}"
        assert f"-part {part}\n" in flow_of(board).files["build.tcl"]
    assert BOARDS["tangnano9k"].package == TangNano9kPlatform.part
    assert BOARDS["icebreaker"].package == ICEBreakerPlatform.package.lower()
    assert BOARDS["ulx3s-85f"].speed == ULX3S_85F_Platform.speed
    assert BOARDS["orangecrab-25f"].speed == OrangeCrabR0_2_25FPlatform.speed


@boards
def test_each_port_has_a_pin_and_no_pin_two_ports(board: Board) -> None:
    name, text = constraints(board)
    assert set(board.pins) == set(BoardDesign.__annotations__)
    assert len(set(board.pins.values())) == len(board.pins)
    for port, pin in board.pins.items():
        assert re.search(rf"\b{port}\b.*\b{pin}\b|\b{pin}\b.*\b{port}\b", text), name


@boards
def test_designs_can_be_elaborated(board: Board) -> None:
    assert board.link(board.spec).divisor >= 4
    assert "module \\top" in to_rtlil(BoardDesign(board, SMALL), name="top")


@boards
def test_reset_is_a_signal_but_on_the_ecp5(board: Board) -> None:
    """There it is a network of its own, and what drives that is not reset by it."""
    text = to_rtlil(BoardDesign(board, SMALL), name="top")
    is_ecp5 = board.part.family == "ecp5"
    assert text.count("cell \\SGSR ") == is_ecp5
    assert text.count('parameter \\GSR "DISABLED"') == text.count("cell \\FD1S3AX ") == 2 * is_ecp5
    assert (" \\rst\n" in text) == (not is_ecp5)


@pytest.mark.parametrize(
    ("name", "core_hz", "expected"),
    [
        ("icebreaker", 24_000_000, {"DIVR": "4'0000", "DIVF": "7'0111111", "DIVQ": "3'101"}),
        ("ulx3s-85f", 100_000_000, {"CLKI_DIV": "1", "CLKFB_DIV": "4", "CLKOP_DIV": "6"}),
        ("orangecrab-25f", 96_000_000, {"CLKI_DIV": "1", "CLKFB_DIV": "2", "CLKOP_DIV": "6"}),
        ("tangnano9k", 54_000_000, {"IDIV_SEL": "0", "FBDIV_SEL": "1", "ODIV_SEL": "8"}),
        ("cmod-a7-35t", 100_000_000, {}),
    ],
)
def test_plls_are_set_as_the_vendors_tools_set_them(
    name: str, core_hz: int, expected: dict[str, str]
) -> None:
    """The iCE40's and the ECP5's figures are what icepll and ecppll print."""
    board = replace(BOARDS[name], core_hz=core_hz)
    text = to_rtlil(PLL(board), name="top")
    for parameter, value in expected.items():
        assert f"parameter \\{parameter} {value}\n" in text


def test_a_clock_that_no_pll_gives_is_refused() -> None:
    with pytest.raises(SpecError, match=r"No PLL of iCEBreaker, .* makes 23999999 Hz of 12000000"):
        pll_settings(replace(BOARDS["icebreaker"], core_hz=23_999_999))


def test_unknown_boards_are_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(SpecError, match=r"There is no board 'icebraker'\.") as caught:
        find_board("icebraker")
    assert "icebreaker, ulx3s-12f" in caught.value.hint


@boards
def test_payloads_hold_a_record_of_any_spec(board: Board) -> None:
    wide = CoreSpec(axons=8, neurons=32, lanes=32, weight_bits=16, delay_slots=64)
    assert board.link(wide).max_payload >= 97
