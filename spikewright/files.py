"""Files that users hand in and get back: spikes, specs, results; written whole or not at all."""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.errors import DataError, SpecError
from spikewright.image import CoreImage
from spikewright.presets import PRESETS
from spikewright.spec import CoreSpec
from spikewright.storage import check_regular, read_file, replace_file
from spikewright.target import RunResult

__all__ = [
    "MAX_BYTES",
    "fit_spikes",
    "merge_json",
    "read_arrays",
    "read_labels",
    "read_result",
    "read_rewards",
    "read_spec",
    "read_spikes",
    "result_bytes",
    "spikes_bytes",
    "write_whole",
]

MAX_BYTES = 1 << 30
"""Largest file, and most bytes of arrays in one, that are read."""

_MAX_SPEC_BYTES = 1 << 20
_SPIKES_HINT = "Write it with: numpy.savez('in.npz', spikes=spikes)  # 0 or 1 each"
_REWARDS_HINT = "Write it with: numpy.save('rewards.npy', rewards)  # 64 stands for 1.0"
_RESULT_HINT = "Name a file that `spikewright run -o` or `spikewright record` wrote."
_SPEC_HINT = (
    'Name a JSON file such as: {"axons": 64, "neurons": 256, "lanes": 8}; '
    f"or a preset: {', '.join(PRESETS)}."
)

Arrays = dict[str, npt.NDArray[Any]]


def write_whole(path: Path | str, data: bytes) -> None:
    """Write a file whole or not at all. Raises :class:`DataError` if it cannot be written."""
    try:
        replace_file(path, data)
    except OSError as error:
        raise DataError(
            f"Cannot write {str(Path(path))!r}: {error.strerror}.",
            hint="Name a file in a folder that is there and that you may write to.",
        ) from None


def merge_json(path: Path | str, entries: Mapping[str, Any]) -> None:
    """Write entries of a JSON object, and leave the file's others as they are.

    The file and its folder are made if they are not there.

    Raises
    ------
    DataError
        The file cannot be read or written, or is there and holds no JSON object.
    """
    target = Path(path)
    try:
        found = json.loads(target.read_text()) if target.exists() else {}
        target.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise DataError(
            f"Cannot add to {str(target)!r}: {error}.",
            hint="Name a JSON file, or a new one in a folder that you may write to.",
        ) from None
    if not isinstance(found, dict):
        raise DataError(
            f"Cannot add to {str(target)!r}: it holds no JSON object.", hint="Name another file."
        )
    write_whole(target, (json.dumps(found | dict(entries), indent=2) + "\n").encode())


def read_arrays(path: Path | str) -> Arrays:
    """Read all arrays of an ``.npz`` file, never a pickle.

    Raises
    ------
    DataError
        The file cannot be read, is no regular file, is damaged, too large, or holds objects.
    """
    source = Path(path)
    try:
        check_regular(source)
        with zipfile.ZipFile(source) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_BYTES:
            raise DataError(
                f"{str(source)!r} holds arrays of more than {MAX_BYTES >> 20} MiB.",
                hint="Use several files of fewer samples.",
            )
        with np.load(source, allow_pickle=False) as arrays:
            found = dict(arrays)
        for name, array in found.items():
            if not isinstance(array, np.ndarray):
                raise TypeError(f"{name!r} is no array")
        return found
    except DataError:
        raise
    except OSError as error:
        raise DataError(
            f"Cannot read {str(source)!r}: {error.strerror or error}.",
            hint="Name a file that was written with numpy.savez.",
        ) from None
    except Exception as error:  # a damaged archive or header makes zipfile and NumPy raise anything
        raise DataError(
            f"{str(source)!r} is not a whole .npz file of plain arrays "
            f"({type(error).__name__}: {error}).",
            hint="Write it with numpy.savez, or fetch a fresh copy.",
        ) from None


def read_spec(path: Path | str) -> CoreSpec:
    """Read a JSON file, or take the preset of that name. Raises :class:`SpecError`."""
    if str(path) in PRESETS:
        return PRESETS[str(path)]
    try:
        text = read_file(path, _MAX_SPEC_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SpecError(
            f"Cannot read core specification {str(path)!r}: {why}.",
            hint=_SPEC_HINT,
        ) from None
    try:
        return CoreSpec.from_json(text)
    except SpecError as error:
        raise SpecError(
            f"{str(path)!r}: {error.what}", reasons=error.reasons, hint=error.hint
        ) from None


def read_spikes(path: Path | str) -> npt.NDArray[np.bool_]:
    """Read input spikes from the key ``spikes`` of an ``.npz`` file.

    Returns
    -------
    bool[samples, timesteps, axons]
        One sample where the file holds ``[timesteps, axons]``.

    Raises
    ------
    DataError
        As :func:`read_arrays`, or no array of that name, of another shape, empty, or with other
        values than 0 and 1.
    """
    arrays = read_arrays(path)
    if "spikes" not in arrays:
        known = ", ".join(map(repr, arrays)) or "none"
        raise DataError(
            f"{str(path)!r} has no array 'spikes'; its arrays: {known}.", hint=_SPIKES_HINT
        )
    spikes = arrays["spikes"]
    if spikes.ndim not in (2, 3) or not spikes.size:
        raise DataError(
            f"Spikes in {str(path)!r} must have shape [samples, timesteps, axons] or "
            f"[timesteps, axons], none of them 0, not {list(spikes.shape)}.",
            hint=_SPIKES_HINT,
        )
    if spikes.dtype.kind not in "biuf" or not ((spikes == 0) | (spikes == 1)).all():
        other = "" if spikes.dtype.kind not in "biuf" else f" (largest: {spikes.max()})"
        raise DataError(
            f"Spikes in {str(path)!r} must be 0 or 1, not other values of {spikes.dtype}{other}.",
            hint=_SPIKES_HINT,
        )
    return spikes.astype(np.bool_).reshape(-1, *spikes.shape[-2:])


def read_labels(path: Path | str) -> npt.NDArray[Any] | None:
    """Read the key ``labels`` of an ``.npz`` file; None where there is none.

    Raises
    ------
    DataError
        As :func:`read_arrays`.
    """
    return read_arrays(path).get("labels")


def read_rewards(path: Path | str) -> npt.NDArray[Any]:
    """Read rewards from an ``.npy`` file, or from the key ``rewards`` of an ``.npz`` file.

    Returns
    -------
    [samples, timesteps]
        As they are in the file: :func:`spikewright.target.check_rewards` checks them. One sample
        where the file holds ``[timesteps]``.

    Raises
    ------
    DataError
        The file cannot be read, is damaged, too large or holds objects; no array of that name.
    """
    source = Path(path)
    if source.suffix == ".npz":
        arrays = read_arrays(source)
        if "rewards" not in arrays:
            known = ", ".join(map(repr, arrays)) or "none"
            raise DataError(
                f"{str(source)!r} has no array 'rewards'; its arrays: {known}.", hint=_REWARDS_HINT
            )
        return np.atleast_2d(arrays["rewards"])
    try:
        rewards = np.lib.format.read_array(io.BytesIO(read_file(source, MAX_BYTES)))
    except OSError as error:
        raise DataError(
            f"Cannot read {str(source)!r}: {error.strerror or error}.", hint=_REWARDS_HINT
        ) from None
    except Exception as error:  # a damaged header makes NumPy raise anything
        raise DataError(
            f"{str(source)!r} is not a whole .npy file of plain numbers "
            f"({type(error).__name__}: {error}).",
            hint=_REWARDS_HINT,
        ) from None
    return np.atleast_2d(rewards)


def fit_spikes(spikes: npt.NDArray[np.bool_], image: CoreImage) -> npt.NDArray[np.bool_]:
    """Check that input spikes have a line for each of the image's inputs, or for each axon.

    Raises
    ------
    DataError
        Another number of lines.
    """
    axons = image.spec.axons
    inputs = max((p.first + p.count for p in image.manifest.inputs), default=axons)
    if spikes.shape[-1] not in (inputs, axons):
        wanted = f"{inputs}" if inputs == axons else f"{inputs} (or all {axons} of the core)"
        raise DataError(
            f"Spikes must have {wanted} axons for this image, not {spikes.shape[-1]}.",
            hint="`spikewright info IMAGE` lists its inputs; the last axis of the array is axons.",
        )
    return spikes


def _npz(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
    return buffer.getvalue()


def spikes_bytes(spikes: npt.NDArray[np.bool_]) -> bytes:
    """The content of a file for :func:`read_spikes`."""
    return _npz({"spikes": spikes})


def result_bytes(result: RunResult) -> bytes:
    """The content of an ``.npz`` file with a result's arrays, those it has."""
    arrays = {"spikes": result.spikes, "total_cycles": result.total_cycles}
    optional = {"cycles": result.cycles, "v": result.v, "overruns": result.overruns}
    return _npz(arrays | {name: array for name, array in optional.items() if array is not None})


def read_result(path: Path | str) -> RunResult:
    """Read what :func:`result_bytes` made. Raises :class:`DataError`."""
    arrays = read_arrays(path)
    missing = {"spikes", "total_cycles"} - arrays.keys()
    if missing:
        raise DataError(
            f"{str(path)!r} has no array {', '.join(map(repr, sorted(missing)))}.",
            hint=_RESULT_HINT,
        )
    if reasons := _wrong_result(arrays):
        raise DataError(f"{str(path)!r} holds no result:", reasons=reasons, hint=_RESULT_HINT)
    return RunResult(
        spikes=arrays["spikes"],
        cycles=arrays.get("cycles"),
        total_cycles=arrays["total_cycles"],
        v=arrays.get("v"),
        overruns=arrays.get("overruns"),
    )


def _wrong_result(arrays: Arrays) -> list[str]:
    """What is wrong with the types and shapes of a result's arrays."""
    spikes = arrays["spikes"]
    given = {name: f"{array.dtype}{list(array.shape)}" for name, array in arrays.items()}
    if spikes.ndim != 3:
        return [f"spikes must be bool[samples, timesteps, neurons], not {given['spikes']}"]
    axes = {"spikes": 3, "total_cycles": 1, "cycles": 2, "v": 3, "overruns": 1}
    return [
        f"{name} must be {'bool' if kind == 'b' else 'int'}{list(shape)}, not {given[name]}"
        for name, dimensions in axes.items()
        for kind, shape in [("b" if name == "spikes" else "i", spikes.shape[:dimensions])]
        if name in arrays and (arrays[name].dtype.kind, arrays[name].shape) != (kind, shape)
    ]
