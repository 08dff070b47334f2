"""What goes with weight words on their way through a core."""

from amaranth.hdl import ShapeLike
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from spikewright.layout import Layout
from spikewright.spec import CoreSpec, Region, index_width

from .layouts import struct

__all__ = [
    "FiredOrder",
    "bank_layout",
    "learning_facts",
    "trace_record",
    "weight_word",
    "word_addresses",
]

_OF_LANES = ("weight", "delay", "plastic", "eligibility")
"""Fields of a weight word that each lane has."""


def trace_record(spec: CoreSpec) -> data.StructLayout:
    """A source's pre trace, and whether the source is listed for the next learning pass."""
    return data.StructLayout({"x": spec.trace_bits, "listed": 1})


def word_addresses(spec: CoreSpec) -> data.ArrayLayout:
    """Where each lane's synapse is, in a core that learns."""
    return data.ArrayLayout(index_width(spec.weight_words), spec.lanes)


def learning_facts(spec: CoreSpec) -> dict[str, ShapeLike]:
    """What learning needs to know of a word."""
    return {
        "addresses": word_addresses(spec),
        "changes": spec.lanes,
        "source": index_width(spec.sources),
        "trace": trace_record(spec),
        "learns": 1,
        "opposite": 1,
        "row_ends": 1,
        "passing": 1,
    }


def bank_layout(spec: CoreSpec, bank: int) -> Layout:
    """Fields of the weight words that are in one bank."""
    lanes = range(bank, spec.lanes, spec.weight_banks)
    names = {f"{kind}{lane}" for kind in _OF_LANES for lane in lanes}
    fields = spec.memories[Region.WEIGHTS].layout.fields
    return Layout(tuple(field for field in fields if field.name in names))


def weight_word(spec: CoreSpec) -> data.StructLayout:
    """A weight word on its way to the accumulators.

    With plasticity there comes what learning needs to know: ``passing`` words are those of a
    learning pass, which are not for the accumulators. Without rewards they are of no one group:
    each lane that ``changes`` has a synapse of another. ``row_ends`` is set in the last cycle of
    every row, one without words too.
    """
    return data.StructLayout({
        "valid": 1,
        "group": index_width(spec.groups),
        "synapses": struct(spec.memories[Region.WEIGHTS].layout),
        **(learning_facts(spec) if spec.plastic else {}),
    })


class FiredOrder(wiring.Signature):
    """The neurons that fired in a timestep: those of each lane in their order.

    Members
    -------
    index : In
        Which of them is wanted, the same of each lane.
    fired : Out
        A cycle later, a bit a lane: so many fired in it.
    group : Out
        Likewise, of each lane in which so many fired: the neuron's group.
    count : Out
        How many fired in the lane with most of them.
    """

    def __init__(self, spec: CoreSpec) -> None:
        group = index_width(spec.groups)
        super().__init__({
            "index": In(group),
            "fired": Out(spec.lanes),
            "group": Out(data.ArrayLayout(group, spec.lanes)),
            "count": Out(range(spec.groups + 1)),
        })
