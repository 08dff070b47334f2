"""Amaranth shapes of the contract's layouts, and registers of any shape."""

from amaranth.hdl import Module, Signal, Value, ValueLike, signed, unsigned
from amaranth.lib import data

from spikewright.layout import Layout

__all__ = ["Write", "following", "passed_on", "struct"]

Write = tuple[Value, Value, ValueLike]
"""Enable, address and data of a memory's write port."""


def struct(layout: Layout) -> data.StructLayout:
    """The same fields at the same bits as a ``StructLayout``."""
    return data.StructLayout({
        field.name: signed(field.width) if field.signed else unsigned(field.width)
        for field in layout.fields
    })


def following(m: Module, value: ValueLike, name: str, *, when: ValueLike = 1) -> Signal:
    """The value a cycle later, in a register of its shape that is loaded only ``when``."""
    register = Signal.like(value, name=name)
    with m.If(when):
        m.d.sync += register.eq(value)
    return register


def passed_on(m: Module, write: Write, name: str) -> Write:
    """A memory's write a cycle later: enable, address, data. Registers load for writes only."""
    en, *rest = write
    addr, data = (following(m, value, name, when=en) for value in rest)
    return following(m, en, name), addr, data
