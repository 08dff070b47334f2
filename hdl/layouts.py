"""Amaranth shapes of the contract's layouts, and registers of any shape and clock."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Array, Const, Module, Signal, Value, ValueLike, signed, unsigned
from amaranth.lib import data

from spikewright.layout import Layout
from spikewright.spec import CoreSpec, index_width

__all__ = [
    "Clocks",
    "Write",
    "chosen",
    "delayed",
    "following",
    "group_of",
    "part_bits",
    "part_width",
    "passed_on",
    "struct",
]


@dataclass(frozen=True)
class Clocks:
    """Clock domains of what rests most of the time.

    All of a design has the one clock ``sync``. A simulator saves much work if it can leave out the
    cycles in which nothing moves, so for it they may be domains of their own.

    Attributes
    ----------
    neurons : str
        Registers of the update pipeline; they need no clock while ``awake`` is low.
    host : str
        Registers of the host port and of its way to the memories; they need no clock but while the
        port is used and ``HOST_READ_LATENCY`` cycles longer.
    """

    neurons: str = "sync"
    host: str = "sync"


Write = tuple[Value, Value, ValueLike]
"""Enable, address and data of a memory's write port."""


def struct(layout: Layout) -> data.StructLayout:
    """The same fields at the same bits as a ``StructLayout``."""
    return data.StructLayout({
        field.name: signed(field.width) if field.signed else unsigned(field.width)
        for field in layout.fields
    })


def part_bits(spec: CoreSpec) -> int:
    """Low bits of a part's index, which tell apart the parts of a neuron group."""
    return spec.update_cycles.bit_length() - 1


def part_width(spec: CoreSpec) -> int:
    """Width of a part's index: the group, and below it the part of the group."""
    return index_width(spec.groups) + part_bits(spec)


def group_of(spec: CoreSpec, part: Value) -> Value:
    """The neuron group of a part."""
    return part[part_bits(spec) :]


def chosen(values: Sequence[Value], index: Value) -> Value:
    """One of several values, as many as the index can tell apart."""
    return Array(values)[index] if len(values) > 1 else values[0]


def following(
    m: Module, value: ValueLike, name: str, *, when: ValueLike = 1, domain: str = "sync"
) -> Signal:
    """The value a cycle later, in a register of its shape that is loaded only ``when``."""
    register = Signal.like(value, name=name)
    with m.If(when):
        m.d[domain] += register.eq(value)
    return register


def delayed(m: Module, value: ValueLike, cycles: int, name: str) -> ValueLike:
    """The value some cycles later, in registers ``name1``, ``name2`` and so on."""
    for cycle in range(1, cycles + 1):
        value = following(m, value, f"{name}{cycle}")
    return value


def passed_on(m: Module, write: Write, name: str, domain: str, *, always: bool = False) -> Write:
    """A memory's write a cycle later: enable, address, data. Registers load for writes only, unless
    they ``always`` do: equal ones may then become one.
    """
    en, *rest = write
    when = Const(1) if always else en
    addr, data = (following(m, value, name, when=when, domain=domain) for value in rest)
    return following(m, en, name, domain=domain), addr, data
