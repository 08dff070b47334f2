"""Rows at the places that a core with paired rows has for them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from spikewright.spec import CoreSpec

__all__ = ["in_place"]


def in_place(rows: Mapping[str, Any], spec: CoreSpec) -> dict[str, Any]:
    """Weight words and directory of packed rows, each row moved to its source's place.

    Parameters
    ----------
    rows : mapping of str to array
        Arrays of an image: ``first_word``, ``word_count`` and ``first_group`` of every source of
        the spec; all others are by word.
    spec : CoreSpec
        With ``paired_rows``.
    """
    names = ("word_count", "first_word", "first_group")
    count, first, group = (np.asarray(rows[name], np.int64) for name in names)
    place = np.where(count > 0, np.arange(spec.sources) * spec.row_stride + group, 0)
    source = np.repeat(np.arange(spec.sources), count)
    offset = np.arange(len(source)) - np.repeat(np.cumsum(count) - count, count)
    moved = {"first_word": place, "word_count": count, "first_group": group}
    for name in rows.keys() - moved.keys():
        words = rows[name]
        moved[name] = np.zeros((int((place + count).max()), *words.shape[1:]), words.dtype)
        moved[name][place[source] + offset] = words[first[source] + offset]
    return moved
