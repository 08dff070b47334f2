"""The content of an image's file, taken apart and checked, before it becomes an image."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from pydantic import ValidationError
from safetensors import SafetensorError

from spikewright.errors import ImageError, SpecError
from spikewright.learning import LearningRule
from spikewright.manifest import Manifest
from spikewright.spec import CoreSpec

__all__ = [
    "FORMAT_VERSION",
    "METADATA_KEY",
    "NAME_ANOTHER",
    "OPTIONAL",
    "Content",
    "array_types",
    "read_content",
    "unusable",
]

FORMAT_VERSION = 1
METADATA_KEY = "spikewright"
NAME_ANOTHER = "Name a file that `spikewright compile` wrote."
_GET_ANOTHER = "Compile the network again, or fetch a fresh copy of the file."

Array = npt.NDArray[Any]

_DTYPES: Mapping[str, type[np.integer[Any]]] = {
    "weights": np.int16,
    "delays": np.uint8,
    "first_word": np.uint32,
    "word_count": np.uint16,
    "first_group": np.uint16,
    "level_groups": np.uint16,
    "a_mem": np.uint16,
    "a_syn": np.uint16,
    "bias": np.int32,
    "v_threshold": np.int32,
    "reset": np.int32,
    "reset_to": np.uint8,
    "refractory": np.uint8,
}
OPTIONAL: Mapping[str, tuple[type[np.integer[Any]], str]] = {
    "word_group": (np.uint16, "sparse"),
    "plastic": (np.uint8, "plasticity"),
    "opposite": (np.uint8, "plasticity"),
    "eligibility": (np.int32, "reward"),
    "h": (np.int32, "adaptive_threshold"),
    "h_step": (np.int32, "adaptive_threshold"),
    "level_winners": (np.uint8, "winners"),
}
"""Arrays of an image whose spec has the option that they are for."""


@dataclass(frozen=True)
class Content:
    """What a file holds: ``arrays`` by name, as :func:`array_types` says; ``id`` as it claims."""

    spec: CoreSpec
    manifest: Manifest
    rule: LearningRule | None
    arrays: dict[str, Array]
    id: str


def read_content(data: bytes) -> Content:
    """Take a file's bytes apart. Raises :class:`ImageError` that says what is wrong."""
    header = _metadata(data)
    try:
        outer = json.loads(header)
        text, claimed = outer["content"], outer["id"]
        if hashlib.sha256(text.encode()).hexdigest() != claimed:
            raise unusable("damaged: the manifest does not match its hash.")
        content = json.loads(text)
        if content["format_version"] != FORMAT_VERSION:
            raise unusable(
                f"format version {content['format_version']!r}; "
                f"this reads version {FORMAT_VERSION}.",
                hint="Compile the network again, with the Spikewright that is to read it.",
            )
        spec = CoreSpec.from_dict(content["spec"])
        manifest = Manifest.model_validate(content["manifest"])
        hashes = dict(content["arrays"])
        rule = LearningRule.from_dict(content["rule"]) if "rule" in content else None
    except SpecError as error:
        raise unusable(error.what, error.reasons) from None
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
        ValidationError,
    ) as error:
        if isinstance(error, ImageError):
            raise
        raise unusable(f"the manifest is not readable ({type(error).__name__}: {error}).") from None
    return Content(spec, manifest, rule, _arrays(data, spec, hashes), claimed)


def _arrays(data: bytes, spec: CoreSpec, hashes: Mapping[str, Any]) -> dict[str, Array]:
    """The arrays of a file, each of its dtype and hash."""
    try:
        arrays = safetensors.numpy.load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise unusable(f"not a whole safetensors file ({error}).") from None
    dtypes = array_types(spec)
    reasons = [f"array {name!r} is missing" for name in sorted(dtypes.keys() - arrays.keys())]
    reasons += [f"array {name!r} is unknown" for name in sorted(arrays.keys() - dtypes.keys())]
    for name in sorted(dtypes.keys() & arrays.keys()):
        if arrays[name].dtype != dtypes[name]:
            reasons.append(
                f"array {name!r} must be {np.dtype(dtypes[name])}, not {arrays[name].dtype}"
            )
        elif hashlib.sha256(arrays[name].tobytes()).hexdigest() != hashes.get(name):
            reasons.append(f"array {name!r} does not match its hash")
    if reasons:
        raise unusable("damaged:", reasons)
    return arrays


def unusable(what: str, reasons: Sequence[str] = (), hint: str = _GET_ANOTHER) -> ImageError:
    """The error about a file's content, to raise."""
    return ImageError(what, reasons=reasons, hint=hint)


def array_types(spec: CoreSpec) -> Mapping[str, type[np.integer[Any]]]:
    """The arrays of an image for that spec."""
    unused = (0, False, "none")
    there = {
        name: dtype
        for name, (dtype, option) in OPTIONAL.items()
        if getattr(spec, option) not in unused
    }
    return {**_DTYPES, **there}


def _metadata(data: bytes) -> str:
    """The manifest's text in a safetensors header; the library reads metadata only from files."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= size <= len(data) - 8:
        raise unusable("not a whole safetensors file (its header is longer than the file).")
    try:
        header = json.loads(data[8 : 8 + size])
        text = header["__metadata__"][METADATA_KEY]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise unusable(
            "not a Spikewright image (no manifest in a safetensors header).", hint=NAME_ANOTHER
        ) from None
    if not isinstance(text, str):
        raise unusable("not a Spikewright image (the manifest is not text).", hint=NAME_ANOTHER)
    return text
