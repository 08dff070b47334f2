"""The contract: one frozen description of a core that RTL, golden model, image and host share."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Literal, cast

from spikewright.errors import SpecError
from spikewright.regions import Memory, Region, index_width, memories_of

__all__ = [
    "CORE_VERSION",
    "LEARNING_FIELDS",
    "LEARNING_VERSION",
    "CoreSpec",
    "Memory",
    "Region",
    "index_width",
]

CORE_VERSION = 1
"""Counts up whenever the same fields would give a core with another behaviour or layout."""
LEARNING_VERSION = 2
"""The same of cores that learn, so that others keep their hashes."""

_RANGES = {
    "axons": (1, 2048),
    "neurons": (1, 2048),
    "lanes": (1, 32),
    "weight_bits": (2, 16),
    "state_bits": (12, 24),
    "fraction_bits": (0, 16),
    "delay_slots": (1, 64),
    "refractory_bits": (0, 8),
    "weight_words": (0, 1 << 24),
    "trace_bits": (2, 16),
    "trace_fraction_bits": (0, 15),
    "winners": (0, 255),
    "update_cycles": (1, 32),
}
_FLAGS = (
    "synapse_current",
    "sparse",
    "soft_bounds",
    "reward",
    "stochastic_rounding",
    "adaptive_threshold",
    "paired_rows",
)
LEARNING_FIELDS = (
    "plasticity",
    "trace_bits",
    "trace_fraction_bits",
    "soft_bounds",
    "reward",
    "stochastic_rounding",
    "adaptive_threshold",
    "paired_rows",
)
"""Fields that say what a core can learn by."""
_LATER = ("sparse", *LEARNING_FIELDS, "winners", "update_cycles")
"""Fields that came later: at their defaults they are not in the JSON, so that specs without them
keep their hashes."""
_MOST_ROW_WORDS = (1 << 16) - 1
_POWERS_OF_TWO = ("lanes", "delay_slots", "update_cycles")
_JSON_HINT = 'Write an object such as: {"axons": 64, "neurons": 256, "lanes": 8}'
_HINT = "Change the field, or leave it out to get its default."


@dataclass(frozen=True)
class CoreSpec:
    """Sizes and features of a core. Everything else about a network is image data.

    Parameters
    ----------
    axons : int
        External source lines A, 1 to 2,048.
    neurons : int
        Neuron slots N, 1 to 2,048, a multiple of ``lanes``.
    lanes : int
        Weights in a weight word, and neurons in a group: 1, 2, 4, 8, 16 or 32.
    weight_bits : int
        Signed weights of this width, 2 to 16.
    state_bits : int
        Membrane potential, synaptic current, bias, threshold and reset, signed, 12 to 24.
    fraction_bits : int
        State bits below one weight unit: the state is ``Q(state_bits - 1 - f).f`` in units of the
        weight's least significant bit, 0 to 16.
    delay_slots : int
        Slots of the delay ring; synaptic delays are 0 to ``delay_slots - 1`` timesteps. A power of
        two up to 64; 1 builds no ring.
    refractory_bits : int
        Width of the refractory counter, 0 to 8; 0 builds none.
    synapse_current : bool
        Keep a decaying synaptic current ``i`` per neuron. Without it every ``a_syn`` must be 0.
    decay : {"multiply", "shift"}
        ``multiply`` takes any UQ1.12 factor; ``shift`` only 0, 1 and ``1 - 2**-k``, k = 1 to 12,
        and needs no multiplier.
    weight_words : int
        Depth of the weight memory; 0 stands for all-to-all, ``sources * row_stride``.
    sparse : bool
        Each weight word names its neuron group, so that a row is any words in any order, and a
        group may have several. Without it a row is the words of groups that follow each other.
    plasticity : {"none", "window", "trace"}
        Build on-chip learning: spike-timing-dependent plasticity whose weight change is constant
        inside a rectangular window, or follows an exponentially decaying trace.
    trace_bits : int
        Width of pre and post traces, unsigned, 2 to 16; in steps of the window rule, or in
        ``UQ(trace_bits - f).f`` with f the next field, in units of the weight's least significant
        bit: a trace is the weight change that it stands for.
    trace_fraction_bits : int
        Fraction bits of weight changes, 0 to 15, at most ``trace_bits``.
    soft_bounds : bool
        Weight changes can be proportional to the distance from the bound (multiplicative STDP).
    reward : bool
        Weight changes go through an eligibility per synapse, scaled by one reward a timestep.
    stochastic_rounding : bool
        Weight changes can be rounded at random, from a seeded shift register.
    adaptive_threshold : bool
        A threshold offset per neuron that grows on a spike and decays (homeostasis).
    paired_rows : bool
        After a timestep, the synapses of two sources learn at once: of sources 2k and 2k + 1, whose
        rows stand side by side in memories of their own. Every source has a fixed place for its
        row, with room for all groups: ``row_stride`` words. For plasticity without ``reward`` and
        ``stochastic_rounding``.
    winners : int
        Most winners of a level that lets only so many of its neurons spike; 0 builds none of it.
    update_cycles : int
        Cycles that the update of a neuron group takes, a power of two up to ``lanes``: rows go on
        bringing ``lanes`` synapses a cycle, but only ``lanes // update_cycles`` neurons, with their
        multipliers and their memories' ports, are built. Saves area where synapses outnumber
        neurons by far.

    Raises
    ------
    SpecError
        Every field out of range, listed.
    """

    axons: int = 256
    neurons: int = 256
    lanes: int = 8
    weight_bits: int = 8
    state_bits: int = 20
    fraction_bits: int = 6
    delay_slots: int = 1
    refractory_bits: int = 4
    synapse_current: bool = True
    decay: Literal["multiply", "shift"] = "multiply"
    weight_words: int = 0
    sparse: bool = False
    plasticity: Literal["none", "window", "trace"] = "none"
    trace_bits: int = 12
    trace_fraction_bits: int = 6
    soft_bounds: bool = False
    reward: bool = False
    stochastic_rounding: bool = False
    adaptive_threshold: bool = False
    paired_rows: bool = False
    winners: int = 0
    update_cycles: int = 1

    def __post_init__(self) -> None:
        reasons = []
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                reasons.append(f"{name} must be an integer in [{low}, {high}], not {value!r}")
            elif name in _POWERS_OF_TWO and value & (value - 1):
                reasons.append(f"{name} must be a power of two, not {value}")
        reasons += [
            f"{name} must be true or false, not {getattr(self, name)!r}"
            for name in _FLAGS
            if not isinstance(getattr(self, name), bool)
        ]
        if self.decay not in ("multiply", "shift"):
            reasons.append(f"decay must be 'multiply' or 'shift', not {self.decay!r}")
        if self.plasticity not in ("none", "window", "trace"):
            reasons.append(
                f"plasticity must be 'none', 'window' or 'trace', not {self.plasticity!r}"
            )
        if not reasons:
            reasons += self._learning_faults()
        if not reasons and self.update_cycles > self.lanes:
            reasons.append(
                f"update_cycles must be at most lanes ({self.lanes}), not {self.update_cycles}"
            )
        if not reasons and self.neurons % self.lanes:
            up = -(-self.neurons // self.lanes) * self.lanes
            reasons.append(
                f"neurons must be a multiple of lanes ({self.lanes}), not {self.neurons}; "
                f"did you mean {up}?"
            )
        if reasons:
            raise SpecError("Core specification is not valid:", reasons=reasons, hint=_HINT)
        if self.weight_words == 0:
            object.__setattr__(self, "weight_words", self.sources * self.row_stride)
        elif self.paired_rows and self.weight_words != self.sources * self.row_stride:
            raise SpecError(
                "Core specification is not valid:",
                reasons=[
                    f"weight_words must be {self.sources * self.row_stride} with paired_rows, "
                    f"{self.row_stride} for each source, not {self.weight_words}"
                ],
                hint="Give 0 for weight_words, or leave it out.",
            )

    def _learning_faults(self) -> list[str]:
        reasons = []
        if not self.plastic:
            reasons += [
                f"{name} needs plasticity 'window' or 'trace', not 'none'"
                for name in LEARNING_FIELDS
                if name in _FLAGS and getattr(self, name)
            ]
        elif self.sparse:
            reasons.append("plasticity needs rows that are not sparse: leave out one of the two")
        reasons += [
            f"paired_rows and {name} exclude each other: leave out one of the two"
            for name in ("reward", "stochastic_rounding")
            if self.plastic and self.paired_rows and getattr(self, name)
        ]
        if self.trace_fraction_bits > self.trace_bits:
            reasons.append(
                f"trace_fraction_bits must be at most trace_bits ({self.trace_bits}), "
                f"not {self.trace_fraction_bits}"
            )
        return reasons

    # Sizes that follow

    @property
    def plastic(self) -> bool:
        """Whether the core can learn."""
        return self.plasticity != "none"

    @property
    def version(self) -> int:
        """``LEARNING_VERSION`` of a core that can learn, else ``CORE_VERSION``."""
        return LEARNING_VERSION if self.plastic else CORE_VERSION

    @property
    def sources(self) -> int:
        """Rows of the weight memory's directory: axons 0 to A-1, then neurons A to A+N-1."""
        return self.axons + self.neurons

    @property
    def groups(self) -> int:
        """Neuron groups: group g holds neurons ``g * lanes`` to ``(g + 1) * lanes - 1``."""
        return self.neurons // self.lanes

    @property
    def row_stride(self) -> int:
        """Words that a row of all groups takes; with ``paired_rows`` a power of two, at least 2."""
        return 1 << index_width(self.groups) if self.paired_rows else self.groups

    @property
    def update_lanes(self) -> int:
        """Neurons that are updated in a cycle."""
        return self.lanes // self.update_cycles

    @property
    def parts(self) -> int:
        """Parts of neuron groups that are updated in a cycle: ``update_lanes`` neurons each."""
        return self.neurons // self.update_lanes

    @property
    def acc_bits(self) -> int:
        """Accumulator width: no sum overflows, with at most one synapse from source to neuron.

        Rows of a sparse spec may hold more; images whose sums could overflow are refused.
        """
        return self.weight_bits + (self.sources - 1).bit_length()

    @property
    def delay_bits(self) -> int:
        """Width of a synapse's delay field; 0 without delays."""
        return (self.delay_slots - 1).bit_length()

    @property
    def most_row_words(self) -> int:
        """Words that the longest row can have."""
        return min(self.weight_words, _MOST_ROW_WORDS) if self.sparse else self.groups

    @property
    def weight_banks(self) -> int:
        """Parts of the weight memory: lane k is in bank k mod this. One a lane if they learn."""
        return self.lanes if self.plastic else min(self.lanes, 4)

    @property
    def bank_delay(self) -> int:
        """Cycles from the read of the first bank to that of the last.

        Each bank is read a cycle after the one before it, but those of lanes that learn at once.
        """
        return 0 if self.plastic else self.weight_banks - 1

    # Memories

    @cached_property
    def memories(self) -> Mapping[Region, Memory]:
        """Layout, depth and access of every region.

        ``WEIGHTS`` is indexed by word, ``DESCRIPTORS`` by source, ``LEVELS`` by group, ``NEURONS``
        and ``STATE`` by neuron, ``ACCUMULATORS`` by ``slot << index_width(neurons) | neuron``,
        where slot ``t % delay_slots`` is the one that timestep t consumes. A spike sets v to
        ``(0 if reset_to else v) + reset_by``.
        """
        return memories_of(self)

    @property
    def eligibility_bits(self) -> int:
        """Width of a synapse's eligibility, signed, with the traces' fraction."""
        return self.trace_bits + 1

    # Cycles: the core is built to these figures, the golden model predicts with them, and
    # lockstep compares both with what the RTL does.

    @property
    def update_latency(self) -> int:
        """Cycles from the issue of a part of a neuron group to its commit."""
        return 12

    @property
    def integrate_overhead(self) -> int:
        """Cycles of an integration beyond ``max(1, words)`` for each pending source."""
        return 12 + self.bank_delay

    @property
    def timestep_overhead(self) -> int:
        """Cycles of a timestep beyond integrations, group updates and the last update's latency."""
        return 1

    @property
    def learn_overhead(self) -> int:
        """Cycles of a learning pass beyond those of the listed sources' rows.

        A row, or a pair of rows, takes as many as there are neurons that fired in the lane with
        most of them, at least one; with ``reward`` as many as it has words.
        """
        return 11 + 3 * self.reward

    @property
    def clear_cycles(self) -> int:
        """Cycles of the command that clears state, accumulators, traces and pending spikes."""
        return max(self.parts * self.delay_slots, self.plastic * self.sources) + 1

    # Identity

    def to_json(self) -> str:
        """Canonical JSON: keys sorted, no white space, every field resolved.

        Options that came later are there only if they are used: a spec without them is what it
        was before, and keeps its hash.
        """
        values = {"core_version": self.version, **asdict(self)}
        defaults = {field.name: field.default for field in fields(self)}
        for name in _LATER:
            if values[name] == defaults[name]:
                del values[name]
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "CoreSpec":
        """Read what :meth:`to_json` wrote, or any JSON object with some of the fields.

        Raises
        ------
        SpecError
            Not a JSON object, unknown fields, another core version, or values out of range.
        """
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SpecError(f"Core specification is not JSON: {error}.", hint=_JSON_HINT) from None
        if not isinstance(raw, dict):
            raise SpecError(
                f"Core specification must be a JSON object, not {raw!r:.40}.", hint=_JSON_HINT
            )
        return cls.from_dict(raw)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "CoreSpec":
        """The same from a mapping. Raises :class:`SpecError`."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(raw) - known - {"core_version"})
        if unknown:
            raise SpecError(
                f"Core specification has unknown fields: {', '.join(map(repr, unknown))}.",
                hint=f"Known fields: {', '.join(sorted(known))}.",
            )
        spec = cls(
            **cast(dict[str, Any], {key: value for key, value in raw.items() if key in known})
        )
        version = raw.get("core_version", spec.version)
        if version != spec.version:
            raise SpecError(
                f"Core specification is for core version {version!r}, "
                f"this is version {spec.version}.",
                hint="Compile the image again with this version of Spikewright.",
            )
        return spec

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal; a device answers its first 8 bytes."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()
