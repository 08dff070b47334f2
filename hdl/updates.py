"""What an update of neurons gives: the state that it writes, and what it says as it does."""

from amaranth.lib import data

from spikewright.layout import Layout
from spikewright.spec import CoreSpec, Region, index_width

from .layouts import part_bits, struct

__all__ = ["commit_layout", "neuron_state"]


def neuron_state(spec: CoreSpec) -> data.StructLayout:
    """A neuron's state but for its post trace."""
    fields = spec.memories[Region.STATE].layout.fields
    return struct(Layout(tuple(field for field in fields if field.name != "y")))


def commit_layout(spec: CoreSpec) -> data.StructLayout:
    """What an updated part of a group says as its new state is written.

    ``whole`` marks the last part of a group. Only with that do ``last``, ``end`` and ``spiked``
    come, and ``spikes`` of all lanes; ``fired`` and ``saturated`` are the part's own.

    With ``winners`` a level is updated several times: ``final`` is the last of them. In the others
    nothing has ``fired``, and ``more`` says at the level's ``last`` group whether to look for
    another winner.
    """
    return data.StructLayout({
        **({"final": 1} if spec.plastic or spec.winners else {}),
        **({"more": 1} if spec.winners else {}),
        "valid": 1,
        "group": index_width(spec.groups),
        "part": part_bits(spec),
        "whole": 1,
        "last": 1,
        "end": 1,
        "spiked": 1,
        "spikes": spec.lanes,
        "fired": spec.update_lanes,
        "saturated": spec.update_lanes,
    })
