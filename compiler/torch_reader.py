"""Reads an untrusted file of torch weights; run as a program of its own, under limits.

The file comes on standard input; on standard output goes a safetensors file with its tensors, or
with what is wrong with it, as bytes under :data:`ERROR`. Imports nothing of Spikewright.
"""

import io
import resource
import sys
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

__all__ = ["ERROR"]

ERROR = "//error"
"""Name of the message among the tensors."""

_MORE_MEMORY_BYTES = 2 << 30
_TENSOR_BYTES = 256 << 20
_OUTPUT_BYTES = 1 << 30


def _checked(content: Any) -> dict[str, Any]:
    """Tensors by name, each with memory of its own.

    Raises
    ------
    ValueError
        Anything but a flat state dict of plain tensors.
    """
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, not a state dict")
    others = [str(name) for name, value in content.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise ValueError(
            f"its entry {others[0][:80]!r} is no tensor; save module.state_dict() by itself"
        )
    size = sum(value.numel() * value.element_size() for value in content.values())
    if size > _TENSOR_BYTES:
        raise ValueError(f"its tensors take {size >> 20} MiB, over {_TENSOR_BYTES >> 20} MiB")
    for name, value in content.items():
        if value.layout != torch.strided or value.is_quantized:
            raise ValueError(f"its tensor {str(name)[:80]!r} is not a plain one")
    return {str(name): value.detach().clone().contiguous() for name, value in content.items()}


def _read(data: bytes) -> bytes:
    try:
        # No pickled code: with weights_only, torch makes tensors and plain containers alone.
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return safetensors.torch.save(_checked(content))
    except MemoryError:
        text = "it needs more memory than the reader may use"
    except Exception as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return safetensors.torch.save({ERROR: torch.tensor(list(text.encode()), dtype=torch.uint8)})


def _limit(cpu_s: int) -> None:
    """Give up the means to hang, to fill memory or disk, or to leave a core dump."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    used = pages * resource.getpagesize()  # by torch, of which there are small and large builds
    for what, limit in (
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, used + _MORE_MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, _OUTPUT_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        value = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (value, value))


def main() -> None:
    """Read standard input, write standard output; the argument is the processor time [s]."""
    _limit(int(sys.argv[1]))
    sys.stdout.buffer.write(_read(sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
