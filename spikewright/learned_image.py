"""What a core learned, put into the image that it learned from."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.image import CoreImage

__all__ = ["with_learned"]

Array = npt.NDArray[np.int64]


def with_learned(
    image: CoreImage, *, weights: Array, eligibility: Array | None, h: Array | None, random: int
) -> CoreImage:
    """An image with what a core learned in it: it runs, and learns, on where the core stands.

    Parameters
    ----------
    image : CoreImage
        Of a plastic spec.
    weights, eligibility : int64[W, lanes]
        Words of the image; ``eligibility`` counts with ``reward``.
    h : int64[N]
        Threshold offsets; count with ``adaptive_threshold``.
    random : int
        The random register; counts with ``stochastic_rounding``.
    """
    learned: dict[str, Any] = {"weights": weights}
    if image.spec.reward:
        learned["eligibility"] = eligibility
    if image.spec.adaptive_threshold:
        learned["h"] = h
    if image.spec.stochastic_rounding and image.rule is not None:
        learned["rule"] = replace(image.rule, seed=random)
    return replace(image, **learned)
