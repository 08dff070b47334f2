"""The front end: an untrusted NIR file, or a NIR graph, to the compiler's own graph."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from spikewright.errors import ModelError
from spikewright.storage import read_file

from .graph import Affine, Input, Network, Neuron, Node, Output, Relay, Scale
from .nir_reader import FIELDS, GRAPH, describe

if TYPE_CHECKING:
    import nir

__all__ = ["from_nir", "read_nir"]

MAX_FILE_BYTES = 256 << 20
MAX_NODE_SIZE = 1 << 20
"""Far above what any core holds: only keeps absurd shapes from being filled with values."""
TIMEOUT_S = 60.0
READER = Path(__file__).with_name("nir_reader.py")
_DAMAGED = "Export the network again, or fetch a fresh copy of the file."
_SHAPES_HINT = "Correct the shapes in the model and export it again."

Array = npt.NDArray[np.float64]
Shape = tuple[int, ...]


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


def _parse(data: bytes) -> tuple[Any, Mapping[str, Array]]:
    """Run the reader on a file's content and take in what it says."""
    # -P keeps the reader's own folder off its path; one BLAS thread keeps its memory small.
    command = [sys.executable, "-P", str(READER)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as out:
        try:
            done = subprocess.run(
                command,
                input=data,
                stdout=out,
                stderr=subprocess.DEVNULL,
                env=environment,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ModelError(
                f"reading it did not end within {TIMEOUT_S:g} s.", hint=_DAMAGED
            ) from None
        out.seek(0)
        result = out.read()
    if done.returncode:
        end = f"signal {-done.returncode}" if done.returncode < 0 else f"code {done.returncode}"
        raise ModelError(f"reading it crashed or ran out of time ({end}).", hint=_DAMAGED)
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
    """Build the nodes of a description, resolving the sizes that it leaves open."""
    nodes: Mapping[str, Mapping[str, Any]] = graph["nodes"]
    edges = tuple((str(a), str(b)) for a, b in graph["edges"])
    known = ("Input", "Output", "Relay", "Flatten", *FIELDS)
    reasons = [
        f"node {path!r} is of unsupported type {node['kind']}"
        for path, node in nodes.items()
        if node["kind"] not in known
    ]
    if reasons:
        kinds = ", ".join(kind for kind in known if kind != "Relay")
        raise ModelError(
            "it has nodes that cannot be compiled:",
            reasons=reasons,
            hint=f"Supported types: {kinds}. Replace the others before exporting.",
        )
    fields = {
        path: {key: arrays[f"{path}/{key}"] for key in FIELDS.get(node["kind"], ())}
        for path, node in nodes.items()
    }
    reasons = [
        f"node {path!r}: {key} must have {'2 dimensions' if key == 'weight' else '1 dimension'}, "
        f"not shape {value.shape}"
        for path, values in fields.items()
        for key, value in values.items()
        if (key == "weight" and value.ndim != 2)
        or (key == "bias" and nodes[path]["kind"] == "Affine" and value.ndim != 1)
    ]
    if reasons:
        raise ModelError("it has arrays of a wrong shape:", reasons=reasons, hint=_SHAPES_HINT)
    shapes = _shapes(nodes, fields, edges)
    reasons = [
        f"node {path!r}: shape must have 1 to {MAX_NODE_SIZE} elements, not {shape}"
        for path, shape in shapes.items()
        if min(shape, default=1) < 1 or prod(shape) > MAX_NODE_SIZE
    ]
    if reasons:
        raise ModelError("it has nodes of an impossible size:", reasons=reasons, hint=_SHAPES_HINT)
    built = {path: _node(node["kind"], fields[path], shapes[path]) for path, node in nodes.items()}
    return Network(built, edges, name, source)


def _shapes(
    nodes: Mapping[str, Mapping[str, Any]],
    fields: Mapping[str, Mapping[str, Array]],
    edges: tuple[tuple[str, str], ...],
) -> dict[str, Shape]:
    """Output shape of each node; one that follows from no array comes along the edges.

    A neuron or scale with a single value stands for as many as its input has, as where snnTorch
    exports a layer with one ``beta`` for all.
    """
    shapes: dict[str, Shape | None] = {}
    for path, node in nodes.items():
        values = fields[path]
        if "weight" in values:
            shapes[path] = values["weight"].shape[:1]
        elif values:
            shape = next(iter(values.values())).shape
            shapes[path] = shape if prod(shape) > 1 else None
        else:
            shapes[path] = tuple(node["shape"]) if node.get("shape") is not None else None
    changed = True
    while changed:
        changed = False
        for a, b in edges:
            if a in shapes and b in shapes and shapes[b] is None and shapes[a] is not None:
                shapes[b] = shapes[a]
                changed = True
    return {path: (1,) if shape is None else shape for path, shape in shapes.items()}


def _node(kind: str, fields: Mapping[str, Array], shape: Shape) -> Node:
    """One node of a supported kind."""
    if kind in ("Input", "Output"):
        return Input(shape) if kind == "Input" else Output(shape)
    if kind in ("Relay", "Flatten"):
        return Relay(shape)
    if "weight" in fields:
        weight = fields["weight"]
        return Affine(weight, fields.get("bias", np.zeros(len(weight))))

    def values(name: str, default: float = 0.0) -> Array:
        value = fields.get(name, np.full(shape, default)).reshape(-1)
        return np.full(prod(shape), value[0]) if value.size == 1 else value

    if kind == "Scale":
        return Scale(values("scale"))
    tau_mem = "tau_mem" if "tau_mem" in fields else "tau"
    return Neuron(
        kind=kind,
        shape=shape,
        r=values("r"),
        tau_mem=values(tau_mem) if tau_mem in fields else None,
        tau_syn=values("tau_syn") if "tau_syn" in fields else None,
        w_in=values("w_in", 1.0),
        v_leak=values("v_leak"),
        v_threshold=values("v_threshold") if "v_threshold" in fields else None,
        v_reset=values("v_reset"),
    )
