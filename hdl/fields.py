"""Where a simulator finds a core's variables: memories, words and bits."""

from dataclasses import dataclass

from spikewright.spec import CoreSpec, Region, index_width

from .accumulator import lanes_a_memory
from .layouts import struct
from .words import bank_layout, rows_at_once

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
    first_word, count : int
        Word of the lane's first neuron, and how many follow each other from there.
    offset, width : int
        Bits of a word; the value is signed unless the variable is ``refractory``.
    """

    lane: int
    step: int
    slot: int
    memory: str
    first_word: int
    count: int
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
            StateField(
                lane=k,
                step=step,
                slot=0,
                memory=_state_memory(field.name),
                first_word=0,
                count=spec.neurons // step,
                offset=k * field.width,
                width=field.width,
            )
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
                StateField(lane, spec.lanes, slot, memory, word, spec.groups, within * width, width)
            )
    if spec.plastic:
        rows = rows_at_once(spec)
        fields["x"] = [
            StateField(
                k, rows, 0, f"rows.traces{k}", 0, -(-(spec.sources - k) // rows), 0, spec.trace_bits
            )
            for k in range(rows)
        ]
        fields["weights"] = _synapse_fields(spec, "weight")
    if spec.reward:
        fields["eligibility"] = _synapse_fields(spec, "eligibility")
    return fields


def _state_memory(name: str) -> str:
    return f"traces.state_{name}" if name == "y" else f"neurons.state_{name}"


def _synapse_fields(spec: CoreSpec, kind: str) -> list[StateField]:
    """Where runs of words are that follow each other in a memory: all of them, or a row's."""
    rows = rows_at_once(spec)
    run = spec.row_stride if spec.paired_rows else spec.weight_words
    fields = []
    for lane in range(spec.lanes):
        bank = lane % spec.weight_banks
        place = struct(bank_layout(spec, bank))[f"{kind}{lane}"]
        for k in range(spec.weight_words // run):
            memory, word = f"rows.weights{bank}_{k % rows}", k // rows * run
            lane_of_run = k * run * spec.lanes + lane
            fields.append(
                StateField(lane_of_run, spec.lanes, 0, memory, word, run, place.offset, place.width)
            )
    return fields
