"""Amaranth shapes of the contract's layouts, and registers of any shape."""

from amaranth.hdl import Module, Signal, ValueLike, signed, unsigned
from amaranth.lib import data

from spikewright.layout import Layout

__all__ = ["following", "struct"]


def struct(layout: Layout) -> data.StructLayout:
    """The same fields at the same bits as a ``StructLayout``."""
    return data.StructLayout({
        field.name: signed(field.width) if field.signed else unsigned(field.width)
        for field in layout.fields
    })


def following(m: Module, value: ValueLike, name: str) -> Signal:
    """The value a cycle later, in a register of its shape."""
    register = Signal.like(value, name=name)
    m.d.sync += register.eq(value)
    return register
