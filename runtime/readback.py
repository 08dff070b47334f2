"""What is read back from a device, by an image's names."""

import numpy as np
import numpy.typing as npt

from spikewright.spec import CoreSpec, Region

__all__ = ["unpack_words"]

Array = npt.NDArray[np.int64]

_WORD_FIELDS = {
    "weights": "weight",
    "delays": "delay",
    "plastic": "plastic",
    "eligibility": "eligibility",
}
"""Arrays of an image, and a weight word's fields behind them."""


def unpack_words(spec: CoreSpec, records: npt.NDArray[np.uint8]) -> dict[str, Array]:
    """Weight words ``uint8[words, size]`` as arrays ``int64[words, lanes]``.

    ``weights`` and ``delays``; ``plastic`` and ``eligibility`` where the spec has them. If it is
    sparse, ``word_group`` too, ``int64[words]``.
    """
    columns = spec.memories[Region.WEIGHTS].layout.unpack(records)
    none = np.zeros(len(records), np.int64)
    columns = {f"delay{k}": none for k in range(spec.lanes)} | columns
    found = {
        name: np.stack([columns[f"{field}{k}"] for k in range(spec.lanes)], axis=1)
        for name, field in _WORD_FIELDS.items()
        if f"{field}0" in columns
    }
    return found | ({"word_group": columns["group"]} if spec.sparse else {})
