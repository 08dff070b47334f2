"""Scikit-learn's handwritten digits: a fixed split, and images as spikes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

__all__ = ["LEVELS", "PIXELS", "TEST_IMAGES", "TIMESTEPS", "Digits", "encode", "load"]

TIMESTEPS = 16
PIXELS = 64
TEST_IMAGES = 594
LEVELS = 16
"""Brightest pixel; a pixel of intensity p spikes exactly p times."""

_SPLIT_SEED = 0


@dataclass(frozen=True)
class Digits:
    """Images of one part of the split, in a fixed order.

    Attributes
    ----------
    pixels : uint8[images, 64]
        Intensities, 0 to 16, row by row of the 8 x 8 image.
    labels : int64[images]
        The digit that was written, 0 to 9.
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def load() -> tuple[Digits, Digits]:
    """Give the 1,203 images to train on and the 594 to test on, every digit in proportion."""
    pixels, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        pixels.astype(np.uint8),
        labels.astype(np.int64),
        test_size=TEST_IMAGES,
        random_state=_SPLIT_SEED,
        stratify=labels,
    )
    return Digits(train_x, train_y), Digits(test_x, test_y)


def encode(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Code each pixel as a regular spike train: intensity p gives p spikes, evenly spaced.

    In timestep t a pixel spikes if ``(p * t + 8) // 16`` counts up from t to t + 1. Nothing is
    drawn at random and nothing is lost: the number of spikes *is* the intensity.

    Parameters
    ----------
    pixels : uint8[images, 64]

    Returns
    -------
    bool[images, 16, 64]
        Input spikes by image, timestep and axon.
    """
    time = np.arange(TIMESTEPS + 1)
    counts = (pixels.astype(np.int64)[:, None, :] * time[:, None] + LEVELS // 2) // LEVELS
    return np.diff(counts, axis=1).astype(np.bool_)
