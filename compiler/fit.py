"""Fitting: the smallest core that holds a network, or whether a given one does."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from spikewright.errors import ModelError, SpecError
from spikewright.spec import CoreSpec

from .graph import Input, Network, Neuron
from .ir import Placement, Quantized
from .options import CompileOptions, ProjectionBits

__all__ = ["Needs", "check_size", "draft_spec", "fit", "needs_of"]

_FORMATS = ("weight_bits", "state_bits", "fraction_bits", "lanes", "update_cycles", "sparse")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a network takes of a core, in the fields of :class:`~spikewright.spec.CoreSpec`."""

    axons: int
    neurons: int
    weight_words: int = 0
    delay_slots: int = 1
    refractory_bits: int = 0
    synapse_current: bool = False


def draft_spec(spec: CoreSpec | None, options: CompileOptions) -> CoreSpec:
    """The given spec, or one of the options' number formats whose sizes are still open.

    Raises
    ------
    ModelError
        Options that contradict the given spec.
    SpecError
        Number formats out of range.
    """
    formats = {name: getattr(options, name) for name in _FORMATS}
    given = {name: value for name, value in formats.items() if value is not None}
    if spec is None:
        if options.bits and options.weight_bits is None:
            given["weight_bits"] = _widest(options.bits)
        return CoreSpec(**given)
    reasons = [
        f"{name} must be the spec's {getattr(spec, name)}, not {value}"
        for name, value in given.items()
        if value != getattr(spec, name)
    ]
    if reasons:
        raise ModelError(
            "Options contradict the given spec:",
            reasons=reasons,
            hint="Leave the options out, or the spec.",
        )
    return spec


def _widest(bits: ProjectionBits) -> int:
    """Bits of a core's weights: enough for these, and the default for layers that are not named."""
    if isinstance(bits, Mapping):
        return max(CoreSpec.weight_bits, *bits.values())
    return max(bits)


def check_size(network: Network, draft: CoreSpec, spec: CoreSpec | None) -> None:
    """Refuse a network that no placement could fit, before matrices of its size are made.

    Raises
    ------
    ModelError
    """
    size = {
        kind: sum(n.size_out for n in network.nodes.values() if type(n) is kind)
        for kind in (Input, Neuron)
    }
    up = -(-size[Neuron] // draft.lanes) * draft.lanes
    fit(Needs(max(1, size[Input]), max(draft.lanes, up)), draft, spec)


def needs_of(placement: Placement, quantized: Quantized, lanes: int) -> Needs:
    """What a placed network takes."""
    populations = quantized.populations.values()
    refractory = max(int(p.refractory.max()) for p in populations)
    return Needs(
        axons=placement.lines,
        neurons=sum(placement.level_groups) * lanes,
        weight_words=len(placement.rows["weights"]),
        delay_slots=1 << int(placement.rows["delays"].max(initial=0)).bit_length(),
        refractory_bits=refractory.bit_length(),
        synapse_current=any(bool(p.a_syn.any()) for p in populations),
    )


def fit(needs: Needs, draft: CoreSpec, spec: CoreSpec | None) -> CoreSpec:
    """The given spec if it has room, else the smallest of the draft's formats that has.

    The depth of the weight memory is rounded up to a power of two, so that training a network
    again seldom asks for another core.

    Raises
    ------
    ModelError
        What is too large, by how much, and the spec that would do.
    """
    if spec is None:
        return _smallest(needs, draft)
    wanted: dict[str, Any] = {}
    reasons = []
    # Paired rows have room for all groups, and their number follows from the sizes.
    follows = {"weight_words": 0} if spec.paired_rows else {}
    for name in (field.name for field in fields(needs) if field.name not in follows):
        has, need = getattr(spec, name), getattr(needs, name)
        if need > has:
            wanted[name] = need
            reasons.append(
                "it needs synapse_current, which the core was built without"
                if name == "synapse_current"
                else f"{name} must be at most {has}, not {need}"
            )
    if not reasons:
        return spec
    change = ", ".join(f"{name}={value}" for name, value in wanted.items())
    try:
        replace(spec, **(wanted | follows))
        hint = f"A core with {change} would do; or make the network smaller."
    except SpecError as error:
        hint = f"No core can hold it ({'; '.join(error.reasons)}): make the network smaller."
    raise ModelError("Network is too large for the core:", reasons=reasons, hint=hint)


def _smallest(needs: Needs, draft: CoreSpec) -> CoreSpec:
    words = 1 << (max(1, needs.weight_words) - 1).bit_length()
    try:
        return replace(
            draft,
            axons=needs.axons,
            neurons=needs.neurons,
            weight_words=words,
            delay_slots=needs.delay_slots,
            refractory_bits=needs.refractory_bits,
            synapse_current=needs.synapse_current,
        )
    except SpecError as error:
        raise ModelError(
            "Network is too large for any core:",
            reasons=error.reasons,
            hint="Make the network smaller, or split it.",
        ) from None
