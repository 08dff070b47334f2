"""The core's clock from a board's oscillator, by the PLL of each family."""

from collections.abc import Iterator

from amaranth.hdl import Const, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from spikewright.errors import SpecError

from .board import Board

__all__ = ["PLL", "pll_settings"]

_ICE40_FILTERS = (17e6, 26e6, 44e6, 66e6, 101e6)
"""Upper limits of the input for FILTER_RANGE 1, 2, ... (source: icepll of Project IceStorm)."""


class PLL(wiring.Component):
    """A clock of another frequency, or the same one through where the frequencies are equal.

    Parameters
    ----------
    board : Board

    Members
    -------
    i : In(1)
        The oscillator: the port itself, since some PLLs have a pin of their own.
    o : Out(1)
        The core's clock.
    locked : Out(1)
        Whether that is stable; asynchronous.
    """

    i: In(1)
    o: Out(1)
    locked: Out(1)

    def __init__(self, board: Board) -> None:
        self._board = board
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self._board.core_hz == self._board.oscillator_hz:
            m.d.comb += [self.o.eq(self.i), self.locked.eq(1)]
            return m
        family = self._board.part.family
        parameters = pll_settings(self._board)
        if family == "ice40":
            m.submodules.pll = Instance(
                "SB_PLL40_PAD",
                **parameters,
                i_PACKAGEPIN=self.i,
                i_RESETB=Const(1),
                i_BYPASS=Const(0),
                o_PLLOUTGLOBAL=self.o,
                o_LOCK=self.locked,
            )
        elif family == "ecp5":
            m.submodules.pll = Instance(
                "EHXPLLL",
                **parameters,
                i_CLKI=self.i,
                i_CLKFB=self.o,
                i_RST=Const(0),
                i_STDBY=Const(0),
                i_ENCLKOP=Const(0),
                o_CLKOP=self.o,
                o_LOCK=self.locked,
            )
        elif family == "gowin":
            m.submodules.pll = Instance(
                "rPLL",
                **parameters,
                i_CLKIN=self.i,
                i_CLKFB=Const(0),
                i_RESET=Const(0),
                i_RESET_P=Const(0),
                o_CLKOUT=self.o,
                o_LOCK=self.locked,
            )
        else:
            fast, feedback = Signal(), Signal()
            m.submodules.pll = Instance(
                "MMCME2_BASE",
                **parameters,
                i_CLKIN1=self.i,
                i_CLKFBIN=feedback,
                i_RST=Const(0),
                i_PWRDWN=Const(0),
                o_CLKFBOUT=feedback,
                o_CLKOUT0=fast,
                o_LOCKED=self.locked,
            )
            m.submodules.buffer = Instance("BUFG", i_I=fast, o_O=self.o)
        return m


def pll_settings(board: Board) -> dict[str, object]:
    """Parameters of the PLL of a board's family.

    Raises
    ------
    SpecError
        No setting gives the board's clock exactly.
    """
    families = {"ice40": _ice40, "ecp5": _ecp5, "gowin": _gowin, "xc7": _xc7}
    choices = families[board.part.family](board.oscillator_hz, board.core_hz)
    found = next(choices, None)
    if found is None:
        raise SpecError(
            f"No PLL of {board.title} makes {board.core_hz} Hz of {board.oscillator_hz} Hz.",
            hint="Take a multiple of the oscillator.",
        )
    return found


def _ice40(source_hz: int, wanted_hz: int) -> Iterator[dict[str, object]]:
    """Settings of SB_PLL40 in SIMPLE mode. Source: Lattice FPGA-TN-02052."""
    for divr in range(16):
        compared = source_hz / (divr + 1)
        for divq in range(1, 7):
            vco = wanted_hz << divq
            divf = round(vco / compared) - 1
            exact = source_hz * (divf + 1) == vco * (divr + 1)
            if exact and divf < 128 and 10e6 <= compared <= 133e6 and 533e6 <= vco <= 1066e6:
                yield {
                    "p_FEEDBACK_PATH": "SIMPLE",
                    "p_DIVR": Const(divr, 4),
                    "p_DIVF": Const(divf, 7),
                    "p_DIVQ": Const(divq, 3),
                    "p_FILTER_RANGE": Const(1 + sum(compared >= f for f in _ICE40_FILTERS), 3),
                }


def _ecp5(source_hz: int, wanted_hz: int) -> Iterator[dict[str, object]]:
    """Settings of EHXPLLL with feedback from CLKOP, VCO near 600 MHz. Source: FPGA-TN-02200."""
    output = max(1, min(128, round(600e6 / wanted_hz)))
    for divided in range(1, 17):
        times = round(wanted_hz * divided / source_hz)
        exact = times and source_hz * times == wanted_hz * divided
        if exact and source_hz / divided >= 3.125e6 and 400e6 <= wanted_hz * output <= 800e6:
            yield {
                "a_FREQUENCY_PIN_CLKI": f"{source_hz / 1e6:g}",
                "a_FREQUENCY_PIN_CLKOP": f"{wanted_hz / 1e6:g}",
                "a_ICP_CURRENT": "12",
                "a_LPF_RESISTOR": "8",
                "a_MFG_ENABLE_FILTEROPAMP": "1",
                "a_MFG_GMCREF_SEL": "2",
                "p_CLKI_DIV": divided,
                "p_CLKFB_DIV": times,
                "p_CLKOP_DIV": output,
                "p_CLKOP_CPHASE": output - 1,
                "p_CLKOP_ENABLE": "ENABLED",
                "p_FEEDBK_PATH": "CLKOP",
            }


def _gowin(source_hz: int, wanted_hz: int) -> Iterator[dict[str, object]]:
    """Settings of rPLL. Source: Gowin UG286, section 5.1; limits of the GW1NR-9 C6/I5."""
    for divided in range(1, 65):
        times = round(wanted_hz * divided / source_hz)
        exact = 0 < times <= 64 and source_hz * times == wanted_hz * divided
        for output in (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128):
            vco = wanted_hz * output
            if exact and source_hz / divided >= 3e6 and 400e6 <= vco <= 1200e6:
                yield {
                    "p_FCLKIN": f"{source_hz / 1e6:g}",
                    "p_IDIV_SEL": divided - 1,
                    "p_FBDIV_SEL": times - 1,
                    "p_ODIV_SEL": output,
                    "p_DEVICE": "GW1NR-9C",
                }


def _xc7(source_hz: int, wanted_hz: int) -> Iterator[dict[str, object]]:
    """Settings of MMCME2, multiplier and divider in eighths. Source: Xilinx UG472, DS181."""
    for times in range(16, 513):
        vco = source_hz * times / 8
        divided = round(vco / wanted_hz * 8)
        exact = source_hz * times == wanted_hz * divided
        if exact and 600e6 <= vco <= 1200e6 and 8 <= divided <= 1024:
            yield {
                "p_CLKIN1_PERIOD": 1e9 / source_hz,
                "p_CLKFBOUT_MULT_F": times / 8,
                "p_CLKOUT0_DIVIDE_F": divided / 8,
                "p_DIVCLK_DIVIDE": 1,
            }
