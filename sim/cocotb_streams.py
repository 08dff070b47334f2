"""Ends of streams for cocotb benches, with stalls.

Inputs change just after the falling edge; outputs are looked at just before the next one.
"""

from collections import deque
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly

__all__ = ["Sink", "Source", "reset"]

_PATIENCE = 50_000
"""Cycles without a transfer after which a stream counts as stuck."""


async def reset(dut: Any, *inputs: str) -> None:
    """Start the clock, set these inputs to zero and reset."""
    for name in inputs:
        getattr(dut, name).value = 0
    dut.rst.value = 1
    Clock(dut.clk, 10, unit="ns").start()
    for _ in range(3):
        await FallingEdge(dut.clk)
    dut.rst.value = 0
    await FallingEdge(dut.clk)


class Source:
    """Drives a stream with :attr:`items`, each offered after random gaps.

    Parameters
    ----------
    dut, name : object, str
        The stream's ports are ``{name}__payload`` and so on.
    seed : int
        Of the gaps.
    """

    def __init__(self, dut: Any, name: str, *, seed: int = 1) -> None:
        self._clk = dut.clk
        self._payload = getattr(dut, f"{name}__payload")
        self._valid = getattr(dut, f"{name}__valid")
        self._ready = getattr(dut, f"{name}__ready")
        self._rng = np.random.default_rng(seed)
        self._valid.value = 0
        self.items: deque[int] = deque()
        self.stalls = 0.0
        """Probability that a cycle goes by without an offer."""
        cocotb.start_soon(self._drive())

    async def _drive(self) -> None:
        while True:
            if not self.items or self._rng.random() < self.stalls:
                await FallingEdge(self._clk)
                continue
            self._payload.value = self.items[0]
            self._valid.value = 1
            taken = False
            while not taken:
                await ReadOnly()
                taken = bool(self._ready.value)
                await FallingEdge(self._clk)
            self.items.popleft()
            self._valid.value = 0

    async def drain(self) -> None:
        """Wait until all items were taken."""
        left, patience = len(self.items), _PATIENCE
        while self.items:
            await FallingEdge(self._clk)
            patience -= 1
            if len(self.items) < left:
                left, patience = len(self.items), _PATIENCE
            assert patience, "the stream is stuck"


class Sink:
    """Collects :attr:`items` of a stream, ready at random; checks that what is offered stays."""

    def __init__(self, dut: Any, name: str, *, seed: int = 2) -> None:
        self._clk = dut.clk
        self._payload = getattr(dut, f"{name}__payload")
        self._valid = getattr(dut, f"{name}__valid")
        self._ready = getattr(dut, f"{name}__ready")
        self._rng = np.random.default_rng(seed)
        self._ready.value = 0
        self.items: list[int] = []
        self.stalls = 0.0
        """Probability of not being ready in a cycle."""
        self.may_change = False
        """Whether what is offered may change, or be withdrawn, before it is taken."""
        cocotb.start_soon(self._collect())

    async def _collect(self) -> None:
        offered: int | None = None
        while True:
            ready = self._rng.random() >= self.stalls
            self._ready.value = int(ready)
            await ReadOnly()
            valid = bool(self._valid.value)
            assert self.may_change or valid or offered is None, "an offer was withdrawn"
            if valid:
                payload = int(self._payload.value)
                assert self.may_change or offered in (None, payload), "an offer changed"
                offered = None if ready else payload
                if ready:
                    self.items.append(payload)
            await FallingEdge(self._clk)

    async def get(self, count: int) -> list[int]:
        """Wait for that many more items and take them."""
        seen, patience = len(self.items), _PATIENCE
        while len(self.items) < count:
            await FallingEdge(self._clk)
            patience -= 1
            if len(self.items) > seen:
                seen, patience = len(self.items), _PATIENCE
            assert patience, f"the stream is stuck after {seen} of {count} items"
        taken, self.items = self.items[:count], self.items[count:]
        return taken
