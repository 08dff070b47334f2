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
    "pair_width",
    "rows_at_once",
    "trace_record",
    "weight_word",
    "word_addresses",
    "word_pair",
    "words_a_memory",
]

_OF_LANES = ("weight", "delay", "plastic", "eligibility")
"""Fields of a weight word that each lane has."""


def rows_at_once(spec: CoreSpec) -> int:
    """Rows that are read at once in a learning pass, each from memories of its own."""
    return 2 if spec.paired_rows else 1


def words_a_memory(spec: CoreSpec) -> int:
    """Depth of a weight memory."""
    pairs = -(-spec.sources // rows_at_once(spec))
    return pairs * spec.row_stride if spec.paired_rows else spec.weight_words


def pair_width(spec: CoreSpec) -> int:
    """Width of the index of rows that are read at once."""
    return index_width(-(-spec.sources // rows_at_once(spec)))


def trace_record(spec: CoreSpec) -> data.StructLayout:
    """A source's pre trace, and what a learning pass wants to know of its row."""
    return data.StructLayout({"x": spec.trace_bits, "opposite": 1})


def word_addresses(spec: CoreSpec) -> data.ArrayLayout:
    """Where each lane's synapse is, in a core that learns: in all memories of the lane."""
    return data.ArrayLayout(index_width(words_a_memory(spec)), spec.lanes)


def learning_facts(spec: CoreSpec) -> dict[str, ShapeLike]:
    """What learning needs to know of a word."""
    return {
        "addresses": word_addresses(spec),
        "changes": spec.lanes,
        "source": index_width(spec.sources),
        "traces": data.ArrayLayout(trace_record(spec), rows_at_once(spec)),
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


def word_pair(spec: CoreSpec) -> data.ArrayLayout:
    """Words of rows that are read at once."""
    return data.ArrayLayout(struct(spec.memories[Region.WEIGHTS].layout), rows_at_once(spec))


def weight_word(spec: CoreSpec) -> data.StructLayout:
    """A weight word on its way to the accumulators.

    With plasticity there comes what learning needs to know: ``passing`` words are those of a
    learning pass, which are not for the accumulators. Without rewards they are of no one group:
    each lane that ``changes`` has a synapse of another. ``row_ends`` is set in the last cycle of
    every row, one without words too. With paired rows ``pair`` has the words of both, of which
    ``synapses`` is that of the row itself.
    """
    return data.StructLayout({
        "valid": 1,
        "group": index_width(spec.groups),
        "synapses": struct(spec.memories[Region.WEIGHTS].layout),
        **({"pair": word_pair(spec)} if spec.paired_rows else {}),
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
