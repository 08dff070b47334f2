"""Weights from untrusted ``.pt`` files, into a module that says what they are the weights of."""

from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from spikewright.errors import ModelError
from spikewright.storage import read_file

from .frontend import MAX_FILE_BYTES, run_reader
from .torch_reader import ERROR

__all__ = ["load_weights"]

READER = Path(__file__).with_name("torch_reader.py")


def load_weights(module: Any, path: Path | str) -> None:
    """Load a state dict that ``torch.save`` wrote into the module that it was made from.

    A child process reads the file with ``weights_only=True`` and limits on time and memory, so no
    code in it runs. Every tensor of the module must be there, in its shape and in numbers that the
    module's can hold (no complex ones for real ones, no fractions for whole ones), and no other.

    Parameters
    ----------
    module : torch.nn.Module
        Changed only if all of the file fits.
    path : path
        A file of at most 256 MiB.

    Raises
    ------
    ModelError
        A file that cannot be read, that is no state dict, or that is not this module's.
    """
    source = Path(path)
    try:
        data = read_file(source, MAX_FILE_BYTES)
    except OSError as error:
        raise ModelError(
            f"Cannot read weights {str(source)!r}: {error.strerror}.",
            hint=f"Name a file of at most {MAX_FILE_BYTES >> 20} MiB.",
        ) from None
    try:
        tensors = safetensors.torch.load(run_reader(READER, data))
    except (ModelError, SafetensorError) as error:
        what = error.what if isinstance(error, ModelError) else f"its reader failed ({error})."
        raise _unreadable(source, what) from None
    if ERROR in tensors:
        raise _unreadable(source, bytes(tensors[ERROR].tolist()).decode(errors="replace"))
    own = module.state_dict()
    reasons = [f"the file has no {name!r}" for name in own.keys() - tensors.keys()]
    reasons += [f"the module has no {name!r}" for name in tensors.keys() - own.keys()]
    reasons += [
        f"{name!r} must have shape {tuple(own[name].shape)}, not {tuple(tensors[name].shape)}"
        for name in own.keys() & tensors.keys()
        if own[name].shape != tensors[name].shape
    ]
    reasons += [
        f"{name!r} must be {own[name].dtype}, not {tensors[name].dtype}"
        for name in own.keys() & tensors.keys()
        if not torch.can_cast(tensors[name].dtype, own[name].dtype)
    ]
    if reasons:
        raise ModelError(
            f"Weights {str(source)!r} are not of this {type(module).__name__}:",
            reasons=sorted(reasons),
            hint="Build the module with the classes and sizes that it was trained with.",
        )
    module.load_state_dict(tensors)


def _unreadable(source: Path, why: str) -> ModelError:
    return ModelError(
        f"Weights {str(source)!r} cannot be read: {why.rstrip('.')}.",
        hint="Save them again, with torch.save(module.state_dict(), path).",
    )
