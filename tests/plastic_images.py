"""Small images of cores that learn."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import numpy as np
import safetensors.numpy

from spikewright.image import CoreImage
from spikewright.learning import LearningRule
from spikewright.spec import CoreSpec

TRACE = CoreSpec(axons=2, neurons=4, lanes=2, state_bits=12, plasticity="trace", trace_bits=10)
WINDOW = replace(TRACE, plasticity="window")
EVERYTHING = replace(
    TRACE,
    soft_bounds=True,
    reward=True,
    stochastic_rounding=True,
    adaptive_threshold=True,
    winners=3,
)
RULE = LearningRule(pre_step=1023, post_step=64, w_min=-128, w_max=127, a_pre=4095, a_post=2048)


def plastic_image(spec: CoreSpec = TRACE, **changes: Any) -> CoreImage:
    """Both axons reach all four neurons; axon 0 learns."""
    arrays: dict[str, Any] = {
        "weights": [[1, -2], [3, -4], [127, -128], [5, 0]],
        "delays": [[0, 0]] * 4,
        "first_word": [0, 2, 0, 0, 0, 0],
        "word_count": [2, 2, 0, 0, 0, 0],
        "first_group": [0] * 6,
        "level_groups": [1, 1],
        "plastic": [[1, 0], [1, 1], [0, 0], [0, 0]],
        "opposite": [1, 0, 0, 0, 0, 0],
    }
    for name in ("a_mem", "a_syn", "bias", "v_threshold", "reset", "refractory"):
        arrays[name] = [0] * 4
    arrays["reset_to"] = [1] * 4
    rule = changes.pop("rule", RULE if spec.plasticity == "trace" else None)
    given: dict[str, Any] = {
        name: np.array(v) for name, v in (arrays | changes).items() if v is not None
    }
    return CoreImage(spec=spec, rule=rule, **given)


def learned_image() -> CoreImage:
    """With all that only some specs have."""
    return plastic_image(
        EVERYTHING,
        rule=replace(RULE, soft=True, stochastic=True, seed=0xFFFFFFFF, a_eligibility=7, a_h=9),
        eligibility=[[1023, -1024], [0, 5], [0, 0], [0, 0]],
        h=[0, 1, 2, 2047],
        h_step=[2047, 0, 0, 1],
        level_winners=[0, 3],
    )


def rewritten(image: CoreImage, **content: Any) -> bytes:
    """A file with another manifest whose hash is right again; ``...`` leaves a field out."""
    data = image.to_bytes()
    size = int.from_bytes(data[:8], "little")
    outer = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["spikewright"])
    kept = {name: v for name, v in json.loads(outer["content"]).items() if name not in content}
    text = json.dumps(kept | {name: v for name, v in content.items() if v is not ...})
    header = {"id": hashlib.sha256(text.encode()).hexdigest(), "content": text}
    return safetensors.numpy.save(dict(image.arrays), {"spikewright": json.dumps(header)})
