"""The learning rule: what spike-timing-dependent plasticity does to a core's plastic synapses."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from spikewright.errors import ImageError
from spikewright.fixed import DECAY_ONE
from spikewright.spec import CoreSpec, Region

__all__ = [
    "LANE_TURN",
    "RANDOM_BITS",
    "REWARD_BITS",
    "REWARD_FRACTION_BITS",
    "REWARD_ONE",
    "LearningRule",
]

REWARD_FRACTION_BITS = 6
REWARD_ONE = 1 << REWARD_FRACTION_BITS
"""The reward 1.0; rewards are Q1.6, -128 to 127."""
REWARD_BITS = REWARD_FRACTION_BITS + 2
RANDOM_BITS = 32
"""Of the random register."""
LANE_TURN = 5
"""Lane k takes the random register turned right by this times k."""


@dataclass(frozen=True)
class LearningRule:
    """Parameters of a core's one learning rule, all raw integers.

    A *pre event* of a source is the integration of its row, a *post event* of a neuron its spike.
    In a timestep that learns:

    - A pre event changes each plastic synapse of the row by the neuron's post trace y, as it is
      then, down unless ``pre_raises``; and it raises the source's pre trace x.
    - After the last level, each post event changes each plastic synapse into the neuron by the
      source's pre trace x, up unless ``post_lowers``. Then x decays. y rises and decays at the
      neuron's update.

    Rows marked ``opposite`` change the other way (anti-Hebbian). With f the spec's
    ``trace_fraction_bits``, changes and, for the ``trace`` rule, traces are
    ``UQ(trace_bits - f).f`` in units of the weight's least significant bit.

    Parameters
    ----------
    pre_step, post_step : int
        ``trace``: added to x or y by an event, saturating, or its new value if ``nearest``.
        ``window``: timesteps for which an event counts, its own among them, so that pairs count
        whose spikes are at most ``step - 1`` timesteps apart.
    a_pre, a_post : int
        ``trace``: decay of x and y, UQ1.12.
    pre_change, post_change : int
        ``window``: the constant change of a pre event and of a post event.
    nearest : bool
        ``trace``: only the latest event counts (nearest-spike), not all of them.
    pre_raises, post_lowers : bool
        Signs other than those of STDP. Both changes up: Hebbian; both down: anti-Hebbian.
    w_min, w_max : int
        Bounds of plastic weights.
    keep_sign : bool
        Plastic weights below zero stay below it, others at or above it.
    soft : bool
        Changes are multiplied by the distance from the bound ahead, over ``2**weight_bits``.
    stochastic : bool
        Round changes at random, in proportion to the fraction; otherwise to nearest.
    seed : int
        State of the 32-bit random register, not 0 if ``stochastic``; it moves on as weights change.
    a_eligibility : int
        ``reward``: decay of eligibilities, UQ1.12.
    a_h : int
        ``adaptive_threshold``: decay of threshold offsets, UQ1.12.

    Sources: G. Bi and M. Poo, J. Neurosci. 18 (1998), for pair STDP; A. Morrison et al., Biol.
    Cybern. 98 (2008), for traces and spike pairings; E. Izhikevich, Cereb. Cortex 17 (2007), for
    eligibilities; the ``window`` rule is NeuroCoreX's, with saturation.
    """

    pre_step: int = 0
    post_step: int = 0
    w_min: int = 0
    w_max: int = 0
    a_pre: int = 0
    a_post: int = 0
    pre_change: int = 0
    post_change: int = 0
    nearest: bool = False
    pre_raises: bool = False
    post_lowers: bool = False
    keep_sign: bool = False
    soft: bool = False
    stochastic: bool = False
    seed: int = 1
    a_eligibility: int = 0
    a_h: int = DECAY_ONE

    def faults(self, spec: CoreSpec) -> list[str]:
        """What a core of that spec cannot do, field by field."""
        if not spec.plastic:
            return ["rule needs a spec with plasticity"]
        layout = {field.name: field for field in spec.memories[Region.RULE].layout.fields}
        default = LearningRule()
        reasons = []
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            whole = isinstance(value, bool if isinstance(field.default, bool) else int)
            if not whole or (isinstance(value, bool) and not isinstance(field.default, bool)):
                kind = "true or false" if isinstance(field.default, bool) else "an integer"
                reasons.append(f"rule.{name} must be {kind}, not {value!r}")
            elif name == "seed":
                if not int(self.stochastic is True) <= value < 1 << 32:
                    reasons.append(f"rule.seed must be in [1, {(1 << 32) - 1}], not {value}")
            elif name not in layout:
                if value != getattr(default, name):
                    reasons.append(f"rule.{name} needs a spec with {_NEEDS[name]}")
            else:
                one = layout[name]
                low, high = -(one.signed << (one.width - 1)), (1 << (one.width - one.signed)) - 1
                high = DECAY_ONE if name.startswith("a_") else high
                if not low <= value <= high:
                    reasons.append(f"rule.{name} must be in [{low}, {high}], not {value}")
        if not reasons and self.w_min > self.w_max:
            reasons.append(f"rule.w_min ({self.w_min}) must not be above w_max ({self.w_max})")
        return reasons

    def as_dict(self) -> dict[str, Any]:
        """Plain values by name, for a manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "LearningRule":
        """The same back; :meth:`faults` checks its values.

        Raises :class:`ImageError` for unknown fields, or what is no mapping.
        """
        if not isinstance(raw, Mapping):
            raise ImageError(
                f"Learning rule must be a mapping of fields, not {raw!r:.40}.",
                hint=f"Known fields: {', '.join(field.name for field in fields(cls))}.",
            )
        unknown = sorted(set(raw) - {field.name for field in fields(cls)})
        if unknown:
            raise ImageError(
                f"Learning rule has unknown fields: {', '.join(map(repr, unknown))}.",
                hint=f"Known fields: {', '.join(field.name for field in fields(cls))}.",
            )
        return cls(**raw)


_NEEDS = {
    "a_pre": "plasticity 'trace'",
    "a_post": "plasticity 'trace'",
    "nearest": "plasticity 'trace'",
    "pre_change": "plasticity 'window'",
    "post_change": "plasticity 'window'",
    "soft": "soft_bounds",
    "stochastic": "stochastic_rounding",
    "a_eligibility": "reward",
    "a_h": "adaptive_threshold",
}
