"""The front end: an untrusted NIR file, or a NIR graph, to the compiler's own graph."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from spikewright.errors import ModelError
from spikewright.storage import read_file

from .graph import Network
from .nir_reader import GRAPH, describe
from .primitives import build_nodes

if TYPE_CHECKING:
    import nir

__all__ = ["MAX_FILE_BYTES", "from_nir", "read_nir", "run_reader", "time_limit_s"]

MAX_FILE_BYTES = 256 << 20
TIMEOUT_S = 8
"""Of a reader, in seconds of the clock and of its processor; starting Python takes 1 or 2."""
READER = Path(__file__).with_name("nir_reader.py")
_DAMAGED = "Export the network again, or fetch a fresh copy of the file."

Array = npt.NDArray[np.float64]


def read_nir(path: Path | str) -> Network:
    """Read a NIR file.

    A child process parses it, with limits on time and memory: the HDF5 library may crash or hang on
    a damaged file.

    Raises
    ------
    ModelError
        A file that is not there, no regular file, damaged, not NIR or over 256 MiB; nodes that the
        compiler does not have or whose sizes do not follow from the graph.
    """
    source = Path(path)
    try:
        data = read_file(source, MAX_FILE_BYTES)
    except OSError as error:
        raise ModelError(
            f"Cannot read network {str(source)!r}: {error.strerror}.",
            hint=f"Name a NIR file, of at most {MAX_FILE_BYTES >> 20} MiB.",
        ) from None
    origin = {"name": source.name, "sha256": hashlib.sha256(data).hexdigest()}
    try:
        return _network(*_parse(data), source.stem, origin)
    except ModelError as error:
        raise _about(f"Network {str(source)!r}", error) from None


def from_nir(graph: "nir.NIRGraph", name: str = "") -> Network:
    """Take over a NIR graph that is already in memory. Raises :class:`ModelError`."""
    try:
        described, arrays = describe(graph)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"NIR graph is not valid: {error}.", hint="Correct the graph, or export it again."
        ) from None
    try:
        return _network(described, arrays, name, {})
    except ModelError as error:
        raise _about(f"NIR graph {name!r}" if name else "NIR graph", error) from None


def _about(subject: str, error: ModelError) -> ModelError:
    """The same error, saying what it is about."""
    return ModelError(f"{subject}: {error.what}", reasons=error.reasons, hint=error.hint)


def time_limit_s(size: int) -> int:
    """Seconds that reading a file of so many bytes may take: :data:`TIMEOUT_S`, 1 more a 16 MiB.

    Measured on NIR files: one matrix of 250 MiB takes 4 of its 23 s of processor time, 10,000 nodes
    in 39 MB take 8 of their 10 s.
    """
    return TIMEOUT_S + (size >> 24)


def run_reader(reader: Path, data: bytes) -> bytes:
    """Have a program of its own, which limits itself, read an untrusted file.

    Parameters
    ----------
    reader : path
        Program that takes the file on standard input, and its processor time [s] as argument.
    data : bytes

    Returns
    -------
    bytes
        What it wrote on standard output.

    Raises
    ------
    ModelError
        It crashed, or did not end in time.
    """
    # -P keeps the reader's own folder off its path; one BLAS thread keeps its memory small.
    limit_s = time_limit_s(len(data))
    command = [sys.executable, "-P", str(reader), str(limit_s)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as out:
        try:
            done = subprocess.run(
                command,
                input=data,
                stdout=out,
                stderr=subprocess.DEVNULL,
                env=environment,
                timeout=limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ModelError(f"reading it did not end within {limit_s} s.", hint=_DAMAGED) from None
        out.seek(0)
        result = out.read()
    if done.returncode:
        end = f"signal {-done.returncode}" if done.returncode < 0 else f"code {done.returncode}"
        raise ModelError(f"reading it crashed or ran out of time ({end}).", hint=_DAMAGED)
    return result


def _parse(data: bytes) -> tuple[Any, Mapping[str, Array]]:
    """Run the reader on a file's content and take in what it says."""
    result = run_reader(READER, data)
    try:
        arrays = safetensors.numpy.load(result)
        graph = json.loads(arrays.pop(GRAPH).tobytes())
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelError(f"its reader gave no usable answer ({error}).", hint=_DAMAGED) from None
    if "error" in graph:
        raise ModelError(f"not a readable NIR file ({graph['error']}).", hint=_DAMAGED)
    return graph, arrays


def _network(
    graph: Mapping[str, Any], arrays: Mapping[str, Array], name: str, source: Mapping[str, str]
) -> Network:
    """A description as a graph."""
    edges = tuple((str(a), str(b)) for a, b in graph["edges"])
    return Network(build_nodes(graph["nodes"], arrays, edges), edges, name, source)
