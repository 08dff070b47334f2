"""Where a simulator finds a core's variables: memories, words and bits."""

from dataclasses import dataclass

from spikewright.spec import CoreSpec, Region, index_width

from .accumulator import lanes_a_memory
from .layouts import struct
from .words import bank_layout

__all__ = ["StateField", "state_fields"]


@dataclass(frozen=True)
class StateField:
    """Where a simulator finds a state variable of every ``step``-th neuron.

    Attributes
    ----------
    lane, step, slot : int
        The variable's first neuron, and how many further the next is; likewise synapses in weight
        words, or sources. ``slot`` is 0 but for accumulators of later delay slots.
    memory : str
        Path of the memory below the core.
    first_word : int
        Word of the lane's first neuron.
    offset, width : int
        Bits of a word; the value is signed unless the variable is ``refractory``.
    """

    lane: int
    step: int
    slot: int
    memory: str
    first_word: int
    offset: int
    width: int


def state_fields(spec: CoreSpec) -> dict[str, list[StateField]]:
    """The memories behind every variable of :class:`spikewright.sim.driver.CoreRun`.

    Those of ``weights`` and ``eligibility`` are by word instead of by group, ``x`` is by source.
    """
    fields = {}
    for field in spec.memories[Region.STATE].layout.fields:
        step = spec.lanes if field.name == "y" else spec.update_lanes
        fields[field.name] = [
            StateField(k, step, 0, _state_memory(field.name), 0, k * field.width, field.width)
            for k in range(step)
        ]
    width = spec.acc_bits
    fields["acc"] = []
    for slot in range(spec.delay_slots):
        word = slot << index_width(spec.groups)
        for lane in range(spec.lanes):
            within = lane % lanes_a_memory(spec)
            memory = f"accumulators.acc{lane - within}"
            fields["acc"].append(
                StateField(lane, spec.lanes, slot, memory, word, within * width, width)
            )
    if spec.plastic:
        fields["x"] = [StateField(0, 1, 0, "rows.traces", 0, 0, spec.trace_bits)]
        fields["weights"] = _synapse_fields(spec, "weight")
    if spec.reward:
        fields["eligibility"] = _synapse_fields(spec, "eligibility")
    return fields


def _state_memory(name: str) -> str:
    return f"traces.state_{name}" if name == "y" else f"neurons.state_{name}"


def _synapse_fields(spec: CoreSpec, kind: str) -> list[StateField]:
    fields = []
    for lane in range(spec.lanes):
        bank = lane % spec.weight_banks
        layout = struct(bank_layout(spec, bank))
        place = layout[f"{kind}{lane}"]
        memory = f"rows.weights{bank}"
        fields.append(StateField(lane, spec.lanes, 0, memory, 0, place.offset, place.width))
    return fields
