"""What a bitstream holds: the device of :mod:`spikewright.hdl.top`, its clock, reset and pins."""

from amaranth.hdl import ClockDomain, ClockSignal, Instance, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from spikewright.frames import ID_SIZE
from spikewright.hdl.top import Top
from spikewright.spec import CoreSpec

from .board import Board
from .plls import PLL

__all__ = ["BoardDesign"]

_RESET_S = 20e-6
"""Of reset after power-up: block RAM of an iCE40 gives zeros for up to 3 us after configuration.
Source: Project IceStorm, issue 76."""


class BoardDesign(wiring.Component):
    """The whole device on a board.

    Parameters
    ----------
    board : Board
    spec : CoreSpec
    build_id : bytes
        What the device answers as its build.

    Raises
    ------
    SpecError
        The board's PLL or link cannot be built.

    Members
    -------
    clk : In(1)
        The oscillator.
    rx, tx : In(1), Out(1)
        The UART.
    image_valid, active : Out(1)
        Lights, as the board's polarity has it.
    """

    clk: In(1)
    rx: In(1, init=1)
    tx: Out(1, init=1)
    image_valid: Out(1)
    active: Out(1)

    def __init__(self, board: Board, spec: CoreSpec, *, build_id: bytes = bytes(ID_SIZE)) -> None:
        self._board = board
        self._pll = PLL(board)
        self._top = Top(spec, board.link(spec), build_id=build_id)
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.pll = pll = self._pll
        m.submodules.top = top = self._top
        m.d.comb += pll.i.eq(self.clk)
        if self._board.part.family == "ecp5":
            self._reset_globally(m, pll)
        else:
            self._reset(m, pll)
        m.d.comb += [
            top.rx.eq(self.rx),
            self.tx.eq(top.tx),
            self.image_valid.eq(top.image_valid ^ self._board.image_valid.inverted),
            self.active.eq(top.active ^ self._board.active.inverted),
        ]
        return m

    def _reset(self, m: Module, pll: PLL) -> None:
        """Be in reset from configuration on, until the clock has been stable for a while."""
        m.domains.start = ClockDomain(reset_less=True)
        m.domains.sync = ClockDomain()
        locked = Signal()
        m.submodules.locked = FFSynchronizer(pll.locked, locked, o_domain="start")
        waited = Signal(range(round(_RESET_S * self._board.core_hz) + 1))
        reset = Signal(init=1)
        done = waited == round(_RESET_S * self._board.core_hz)
        m.d.comb += [
            ClockSignal("start").eq(pll.o),
            ClockSignal().eq(pll.o),
            ResetSignal().eq(reset),
        ]
        m.d.start += reset.eq(~(done & locked))
        with m.If(~locked):
            m.d.start += waited.eq(0)
        with m.Elif(~done):
            m.d.start += waited.eq(waited + 1)

    def _reset_globally(self, m: Module, pll: PLL) -> None:
        """Reset by the ECP5's own network, which reaches every flip-flop but those named here.

        As a signal it would be one of thousands of ends, which no routing brings across the chip in
        a cycle. Source: Amaranth's own platform for the ECP5.
        """
        m.domains.sync = ClockDomain(reset_less=True)
        m.d.comb += ClockSignal().eq(pll.o)
        passed, locked = Signal(), Signal()
        for i, o in ((pll.locked, passed), (passed, locked)):
            m.submodules += Instance("FD1S3AX", p_GSR="DISABLED", i_CK=pll.o, i_D=i, o_Q=o)
        m.submodules.reset = Instance("SGSR", i_CLK=pll.o, i_GSR=locked)  # active low
