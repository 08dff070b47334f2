"""The core image: everything a core of one spec needs to become one network, as a file."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from spikewright.content import (
    FORMAT_VERSION,
    METADATA_KEY,
    NAME_ANOTHER,
    OPTIONAL,
    array_types,
    read_content,
    unusable,
)
from spikewright.errors import ImageError
from spikewright.faults import image_faults
from spikewright.learning import LearningRule
from spikewright.manifest import Manifest, Population
from spikewright.spec import CoreSpec, Region
from spikewright.storage import read_file, replace_file

__all__ = ["CoreImage", "Manifest", "Population"]

MAX_FILE_BYTES = 1 << 30

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class CoreImage:
    """Weights, directory, levels and neuron parameters for one :class:`CoreSpec`, all raw integers.

    With A axons, N neuron slots and ``lanes`` from the spec, W weight words and L levels in use:

    ================  ================  ==========================================================
    ``weights``       int16[W, lanes]   word w, lane k: weight into neuron ``group * lanes + k``
    ``delays``        uint8[W, lanes]   synaptic delay [timesteps]; all 0 where the spec has none
    ``first_word``    uint32[A + N]     a source's row: this many words from here, the first one
    ``word_count``    uint16[A + N]     for neuron group ``first_group``, the next for the next
    ``first_group``   uint16[A + N]     group, and so on; all 0 with a sparse spec
    ``word_group``    uint16[W]         neuron group of each word; with a sparse spec only
    ``level_groups``  uint16[L]         neuron groups of each level, in order from group 0
    ``a_mem``         uint16[N]         membrane decay, UQ1.12, 0 to 4096
    ``a_syn``         uint16[N]         synaptic current decay, UQ1.12; 0 is memoryless
    ``bias``          int32[N]          added to the current each timestep
    ``v_threshold``   int32[N]          a neuron spikes when v is strictly above
    ``reset``         int32[N]          subtracted from v, or v's new value
    ``reset_to``      uint8[N]          1: ``v = reset``; 0: ``v = v - reset``
    ``refractory``    uint8[N]          timesteps without membrane update after a spike
    ``plastic``       uint8[W, lanes]   1: the synapse learns; with a plastic spec
    ``opposite``      uint8[A + N]      1: the row learns with the other sign; with a plastic spec
    ``eligibility``   int32[W, lanes]   eligibility so far; with ``reward``
    ``h``             int32[N]          threshold offset so far; with ``adaptive_threshold``
    ``h_step``        int32[N]          added to it by a spike while the core learns; likewise
    ``level_winners`` uint8[L]          most neurons of a level that spike in a timestep, 0 for all
                                        of them; with ``winners``
    ================  ================  ==========================================================

    With ``paired_rows`` the row of source j begins at ``j * row_stride + first_group``. Arrays that
    only some specs have may be left out, and are then 0, but for ``word_group``.
    ``rule`` is a plastic spec's learning rule. State-like arrays are ``Q(state_bits - 1 - f).f``
    with f the spec's ``fraction_bits``, in units of the neuron's weight scale. Sources are axons 0
    to A-1, then neurons A to A+N-1.

    Raises
    ------
    ImageError
        Shapes, ranges or references that the spec does not allow, all of them listed.
    """

    spec: CoreSpec
    weights: Array
    delays: Array
    first_word: Array
    word_count: Array
    first_group: Array
    level_groups: Array
    a_mem: Array
    a_syn: Array
    bias: Array
    v_threshold: Array
    reset: Array
    reset_to: Array
    refractory: Array
    word_group: Array | None = None
    plastic: Array | None = None
    opposite: Array | None = None
    eligibility: Array | None = None
    h: Array | None = None
    h_step: Array | None = None
    level_winners: Array | None = None
    rule: LearningRule | None = None
    manifest: Manifest = field(default_factory=Manifest)

    def __post_init__(self) -> None:
        dtypes = array_types(self.spec)
        reasons = [
            f"{name} must be None for a spec without {option}"
            for name, (_, option) in OPTIONAL.items()
            if name not in dtypes and getattr(self, name) is not None
        ]
        if self.spec.plastic and self.rule is None:
            object.__setattr__(self, "rule", LearningRule())
        for name, dtype in dtypes.items():
            value = getattr(self, name)
            if value is None and name in OPTIONAL and name != "word_group":
                value = np.zeros(_optional_shape(self, name), dtype)
            if value is None:
                reasons.append(f"{name} must be there, not None")
                continue
            given = np.asarray(value)
            if given.dtype.kind not in "iu":
                reasons.append(f"{name} must be integers, not {given.dtype}")
                continue
            info = np.iinfo(dtype)
            if given.size and (given.min() < info.min or given.max() > info.max):
                reasons.append(
                    f"{name} must fit [{info.min}, {info.max}], not {given.min()} to {given.max()}"
                )
                continue
            array = np.ascontiguousarray(given, dtype)
            if array is given:
                array = array.copy()
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if not reasons:
            reasons = image_faults(self)
        if reasons:
            raise ImageError(
                "Core image is not valid for its spec:",
                reasons=reasons,
                hint="Correct these arrays, or compile the network again.",
            )

    # Views

    @cached_property
    def arrays(self) -> Mapping[str, Array]:
        """The arrays by name, read-only."""
        return {name: getattr(self, name) for name in array_types(self.spec)}

    @cached_property
    def learns(self) -> npt.NDArray[np.bool_]:
        """Sources with a plastic synapse: ``bool[A + N]``."""
        learns = np.zeros(self.spec.sources, np.bool_)
        if self.plastic is not None:
            row, word, _ = self.row_words(np.arange(self.spec.sources))
            learns[row[self.plastic[word].any(axis=1)]] = True
        return learns

    @property
    def groups_used(self) -> int:
        """Neuron groups that are updated each timestep."""
        return int(self.level_groups.sum())

    @cached_property
    def records(self) -> Mapping[Region, npt.NDArray[np.uint8]]:
        """What a loader writes, from index 0 of each writable region: ``uint8[records, size]``."""
        spec = self.spec
        memories = spec.memories
        ends = np.cumsum(self.level_groups, dtype=np.int64)
        last = np.zeros(int(ends[-1]), np.uint8)
        last[ends - 1] = 1
        end = np.zeros_like(last)
        end[-1] = 1
        columns: dict[str, Array] = {}
        for kind, array in (
            ("weight", self.weights),
            ("delay", self.delays),
            ("plastic", self.plastic),
            ("eligibility", self.eligibility),
        ):
            if array is not None:
                columns |= {f"{kind}{k}": array[:, k] for k in range(spec.lanes)}
        if self.word_group is not None:
            columns["group"] = self.word_group
        directory = {**self.arrays, "learns": self.learns}
        level = {"last": last, "end": end}
        if self.level_winners is not None:
            level["winners"] = np.repeat(self.level_winners, self.level_groups)
        parts: dict[Region, Mapping[str, Array]] = {
            # An unused row may point anywhere, even past what its fields can hold.
            Region.DESCRIPTORS: {
                f.name: np.where(self.word_count > 0, directory[f.name], 0)
                for f in memories[Region.DESCRIPTORS].layout.fields
            },
            Region.LEVELS: level,
            Region.NEURONS: {
                **self.arrays,
                "reset_by": np.where(self.reset_to, self.reset, -self.reset),
            },
        }
        if len(self.weights):
            parts[Region.WEIGHTS] = columns
        if self.rule is not None:
            parts[Region.RULE] = {
                f.name: getattr(self.rule, f.name) for f in memories[Region.RULE].layout.fields
            }
            parts[Region.RANDOM] = {"random": np.array([self.rule.seed])}
        return {region: memories[region].layout.pack(values) for region, values in parts.items()}

    def row_words(self, sources: Array) -> tuple[Array, Array, Array]:
        """Every weight word that the rows of some sources read, row by row.

        Parameters
        ----------
        sources : int[n]

        Returns
        -------
        row, word, group : int64[words]
            Index into ``sources``, index into ``weights``, and the neuron group that it is for.
        """
        count, first_word, first_group = (
            array[sources].astype(np.int64)
            for array in (self.word_count, self.first_word, self.first_group)
        )
        row = np.repeat(np.arange(len(count)), count)
        offset = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        word = first_word[row] + offset
        if self.word_group is not None:
            return row, word, self.word_group[word].astype(np.int64)
        return row, word, first_group[row] + offset

    def population(self, name: str) -> Population:
        """The neurons of that name. Raises :class:`ImageError`, naming those there are."""
        for population in self.manifest.populations:
            if population.name == name:
                return population
        known = ", ".join(repr(p.name) for p in self.manifest.populations) or "none"
        raise ImageError(f"Image has no population {name!r}.", hint=f"Populations: {known}.")

    @property
    def output_slices(self) -> Mapping[str, slice | Array]:
        """Indices of the network's outputs by name, in the order of the manifest.

        Each takes a population's neurons, in C order of its shape, from an array of neurons.
        """
        return {name: self.population(name).index for name in self.manifest.outputs}

    # Files

    @cached_property
    def _manifest_text(self) -> str:
        """Canonical JSON of everything but the image id, with the hash of each array."""
        rule = {} if self.rule is None else {"rule": self.rule.as_dict()}
        text: str = json.dumps(
            {
                **rule,
                "format_version": FORMAT_VERSION,
                "spec": json.loads(self.spec.to_json()),
                "spec_hash": self.spec.hash,
                "manifest": self.manifest.model_dump(mode="json"),
                "arrays": {
                    name: hashlib.sha256(a.tobytes()).hexdigest() for name, a in self.arrays.items()
                },
            },
            sort_keys=True,
            separators=(",", ":"),
            allow_nan=False,
        )
        return text

    @cached_property
    def id(self) -> str:
        """SHA-256 over spec, manifest and arrays, in hexadecimal."""
        return hashlib.sha256(self._manifest_text.encode()).hexdigest()

    def to_bytes(self) -> bytes:
        """The file's content: safetensors, the manifest and its hash in the metadata."""
        header = json.dumps({"id": self.id, "content": self._manifest_text}, sort_keys=True)
        return safetensors.numpy.save(dict(self.arrays), metadata={METADATA_KEY: header})

    def save(self, path: Path | str) -> None:
        """Write the file whole or not at all. Raises :class:`ImageError` if it cannot."""
        try:
            replace_file(path, self.to_bytes())
        except OSError as error:
            raise ImageError(
                f"Cannot write image {str(Path(path))!r}: {error.strerror}.",
                hint="Name a file in a folder that is there and that you may write to.",
            ) from None

    @classmethod
    def load(cls, path: Path | str) -> "CoreImage":
        """Read and check a file. Raises :class:`ImageError` that says what is wrong."""
        source = Path(path)
        try:
            data = read_file(source, MAX_FILE_BYTES)
        except OSError as error:
            raise ImageError(
                f"Cannot read image {str(source)!r}: {error.strerror}.",
                hint=NAME_ANOTHER,
            ) from None
        try:
            return cls.from_bytes(data)
        except ImageError as error:
            raise ImageError(
                f"Image {str(source)!r}: {error.what}",
                reasons=error.reasons,
                hint=error.hint,
            ) from None

    @classmethod
    def from_bytes(cls, data: bytes) -> "CoreImage":
        """Read and check a file's content. Raises :class:`ImageError` that says what is wrong."""
        content = read_content(data)
        image = cls(
            spec=content.spec, manifest=content.manifest, rule=content.rule, **content.arrays
        )
        try:
            is_same = image.id == content.id
        except (ValueError, RecursionError):  # nested deeper than anything that was ever written
            is_same = False
        if not is_same:
            raise unusable("damaged: the content does not match the image id.")
        return image


def _optional_shape(image: CoreImage, name: str) -> tuple[int, ...]:
    """The shape of an array that was left out."""
    if name in ("plastic", "eligibility"):
        return np.shape(image.weights)
    if name == "opposite":
        return (image.spec.sources,)
    return np.shape(image.level_groups) if name == "level_winners" else (image.spec.neurons,)
