"""Amaranth shapes of the contract's layouts."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from spikewright.layout import Layout

__all__ = ["struct"]


def struct(layout: Layout) -> data.StructLayout:
    """The same fields at the same bits as a ``StructLayout``."""
    return data.StructLayout({
        field.name: signed(field.width) if field.signed else unsigned(field.width)
        for field in layout.fields
    })
