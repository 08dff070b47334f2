"""Cores whose every synapse learns, and what they learn from."""

from dataclasses import replace
from typing import Any

import numpy as np

from spikewright.compiler.plastic import plastic_image
from spikewright.image import CoreImage
from spikewright.learning import LearningRule
from spikewright.spec import CoreSpec

PLAIN = CoreSpec(axons=40, neurons=16, lanes=8)
SPECS = {
    "window": replace(PLAIN, weight_words=0, plasticity="window"),
    "paired": replace(
        PLAIN,
        weight_words=0,
        plasticity="trace",
        soft_bounds=True,
        adaptive_threshold=True,
        paired_rows=True,
    ),
    "all": replace(
        PLAIN,
        weight_words=0,
        plasticity="trace",
        reward=True,
        stochastic_rounding=True,
        adaptive_threshold=True,
        soft_bounds=True,
    ),
}


def an_image(kind: str) -> CoreImage:
    """Every synapse learns, those among the neurons too."""
    spec, rng = SPECS[kind], np.random.default_rng(5)
    rule: dict[str, Any] = {"pre_step": 200, "post_step": 300, "w_min": -60, "w_max": 90}
    optional: dict[str, Any] = {}
    if spec.plasticity == "window":
        rule |= {"pre_step": 5, "post_step": 4, "pre_change": 70, "post_change": 150}
    else:
        rule |= {"a_pre": 3600, "a_post": 3500}
    if spec.reward:
        rule |= {"a_eligibility": 3900, "stochastic": True, "seed": 77, "a_h": 4000}
        optional["h_step"] = 9
    return plastic_image(
        spec,
        rng.integers(0, 60, (40, 16)),
        rng.integers(-20, 20, (16, 16)),
        neuron_plastic=True,
        rule=LearningRule(**rule),
        a_mem=3700,
        v_threshold=150 << spec.fraction_bits,
        reset_to=1,
        **optional,
    )


def a_lesson(kind: str, samples: int = 3) -> tuple[Any, Any]:
    """Spikes, and rewards that stay the same for some timesteps, where the spec takes any."""
    rng = np.random.default_rng(6)
    spikes = rng.random((samples, 25, 40)) < 0.1
    rewards = np.repeat(rng.integers(-128, 128, (samples, 5)), 5, axis=1)
    return spikes, rewards if SPECS[kind].reward else None
