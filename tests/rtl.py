"""Cores with faults in their Verilog."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from spikewright.sim import verilator
from spikewright.spec import CoreSpec

GREATER = (r"(\$signed\([^()]*\)) > (\$signed\(v_threshold\))", r"\1 >= \2")
"""Pattern and replacement: a neuron spikes at its threshold, not only above."""


def change_cores(monkeypatch: pytest.MonkeyPatch, change: Callable[[str], str]) -> None:
    """Change the Verilog of every core that is built from now on."""
    original = verilator._core_rtl

    def changed(spec: CoreSpec, near: bool) -> verilator.CoreRTL:
        rtl = original(spec, near)
        return replace(rtl, verilog=change(rtl.verilog))

    monkeypatch.setattr(verilator, "_core_rtl", changed)


def break_cores(monkeypatch: pytest.MonkeyPatch, pattern: str, replacement: str) -> None:
    """Replace a pattern wherever it is in the Verilog of every core that is built from now on."""

    def broken(verilog: str) -> str:
        text, count = re.subn(pattern, replacement, verilog)
        assert count, f"the RTL has no {pattern!r} any more"
        return text

    change_cores(monkeypatch, broken)
