"""Reads an untrusted NIR file; run as a program of its own, under limits, by the front end.

The file comes on standard input; on standard output goes a safetensors file with every array as
float64 and, as bytes under the name ``graph``, the graph in JSON. Imports nothing of Spikewright.
"""

import io
import json
import resource
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

__all__ = ["ATTRIBUTES", "FIELDS", "GRAPH", "describe", "encode"]

GRAPH = "graph"
"""Name of the JSON among the arrays."""

FIELDS = {
    "Affine": ("weight", "bias"),
    "Linear": ("weight",),
    "Scale": ("scale",),
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
    "IF": ("r", "v_threshold", "v_reset"),
    "LI": ("tau", "r", "v_leak"),
    "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak", "w_in"),
    "I": ("r",),
    "Threshold": ("threshold",),
    "Delay": ("delay",),
    "Conv1d": ("weight", "bias"),
    "Conv2d": ("weight", "bias"),
}
"""Arrays of each primitive that carries any."""

ATTRIBUTES = {
    "Conv1d": ("input_shape", "stride", "padding", "dilation", "groups"),
    "Conv2d": ("input_shape", "stride", "padding", "dilation", "groups"),
    "SumPool2d": ("kernel_size", "stride", "padding"),
    "AvgPool2d": ("kernel_size", "stride", "padding"),
    "Flatten": ("start_dim", "end_dim"),
}
"""Whole numbers, or words, that say how a primitive works on its input's shape."""

_SHAPES = {"Input": "input_type", "Output": "output_type", "Flatten": "input_type"}
_MEMORY_BYTES = 2 << 30
_ARRAY_BYTES = 256 << 20
_OUTPUT_BYTES = 1 << 30

Array = npt.NDArray[np.float64]
Described = tuple[dict[str, Any], dict[str, Array]]


def _whole(value: object, what: str) -> list[int] | None:
    """Whole numbers, one or several, however they are given."""
    if value is None:
        return None
    array = np.atleast_1d(np.asarray(value))
    if (
        array.dtype.kind not in "iuf"
        or array.ndim != 1
        or not (np.isfinite(array) & (array == np.rint(array))).all()
    ):
        raise ValueError(f"{what} must be whole numbers, not {' '.join(str(value).split())[:40]}")
    return [int(number) for number in array]


def _shape(value: object, what: str) -> list[int] | None:
    """The one shape in a NIR type such as ``{"input": array([2, 8])}``."""
    return _whole(next(iter(value.values()), None) if isinstance(value, dict) else value, what)


def _port(graph: Any, kind: str, path: str) -> str:
    """Path of a subgraph's only Input or Output.

    NIR 1.0 has no way to say which of several an edge means: an edge joins two names of nodes
    (``NIRGraph.edges``; ``validate_structure`` refuses a name with a port), and its type check
    refuses edges between nodes of several types as "not supported yet" (nir 1.0.8,
    ``nir/ir/graph.py``, ``check_types``). A whole network may have any number.
    """
    names = [name for name, node in graph.nodes.items() if type(node).__name__ == kind]
    if len(names) != 1:
        raise ValueError(
            f"subgraph {path!r} must have exactly one {kind} node, not {len(names)}: NIR's edges "
            "name nodes, not their ports; put its nodes into the graph around it"
        )
    return f"{path}.{names[0]}"


def _real(value: object, what: str) -> Array:
    """A copy as float64; of complex numbers that would keep the real part, of text its number."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{what} must be real numbers, not {array.dtype}")
    return np.array(array, np.float64, order="C")


def describe(graph: Any, prefix: str = "") -> Described:
    """Take a ``nir.NIRGraph`` apart, subgraphs included, into plain data.

    Returns
    -------
    dict
        ``nodes`` maps a name to ``kind`` and, where the kind has them, ``shape`` and
        ``attributes``; ``edges`` are pairs of names. Nodes of a subgraph are called
        ``subgraph.node``.
    dict
        Arrays by ``node/field``.

    Raises
    ------
    ValueError, TypeError, AttributeError, RecursionError
        Whatever a graph that is not one leads to.
    """
    nodes: dict[str, Any] = {}
    arrays: dict[str, Array] = {}
    edges: list[list[str]] = []
    for name, node in graph.nodes.items():
        path = f"{prefix}{name}"
        kind = type(node).__name__
        if kind == "NIRGraph":
            inner, inner_arrays = describe(node, f"{path}.")
            new = inner["nodes"]
            edges += inner["edges"]
            arrays |= inner_arrays
        else:
            # A subgraph's borders are not the network's.
            border = bool(prefix) and kind in ("Input", "Output")
            new = {path: {"kind": "Relay" if border else kind}}
            if kind in _SHAPES:
                field = _SHAPES[kind]
                new[path]["shape"] = _shape(getattr(node, field), f"node {path!r}: {field}")
            if kind in ATTRIBUTES:
                given = {field: getattr(node, field) for field in ATTRIBUTES[kind]}
                new[path]["attributes"] = {
                    field: value
                    if field == "padding" and isinstance(value, str)
                    else _whole(value, f"node {path!r}: {field}")
                    for field, value in given.items()
                }
            for field in FIELDS.get(kind, ()):
                value = getattr(node, field)
                arrays[f"{path}/{field}"] = _real(value, f"node {path!r}: {field}")
        if twice := nodes.keys() & new.keys():
            raise ValueError(f"two nodes are called {min(twice)!r}")
        nodes |= new
    for pair in graph.edges:
        ends = []
        for name, kind in zip(pair, ("Output", "Input"), strict=True):
            node = graph.nodes.get(name)
            inside = type(node).__name__ == "NIRGraph"
            ends.append(_port(node, kind, f"{prefix}{name}") if inside else f"{prefix}{name}")
        edges.append(ends)
    return {"nodes": nodes, "edges": edges}, arrays


def encode(graph: dict[str, Any], arrays: dict[str, Array]) -> bytes:
    """The description as one safetensors file."""
    text = np.frombuffer(json.dumps(graph).encode(), np.uint8)
    return safetensors.numpy.save({GRAPH: text, **arrays})


def _unknown_nodes(data: bytes) -> list[str]:
    """Say which nodes of a file are of a type that NIR does not have; `nir.read` does not."""
    import h5py
    import nir

    found: list[str] = []

    def visit(path: str, item: Any) -> None:
        if path.endswith("/type") and isinstance(item, h5py.Dataset):
            value = item[()]
            kind = value.decode() if isinstance(value, bytes) else str(value)
            if not hasattr(nir, kind):
                found.append(f"node {path.split('/')[-2]!r} is of unknown type {kind[:40]!r}")

    with h5py.File(io.BytesIO(data), "r") as file:
        file.visititems(visit)
    return found


def _refuse_links(data: bytes) -> None:
    """HDF5 can take arrays from any file of this machine; a network has no reason to.

    Nor to name anything twice: that leads readers in circles.

    Raises
    ------
    ValueError
    """
    import h5py

    found: list[str] = []

    def visit_link(path: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            found.append(f"{path!r} lies in another file")
        elif not isinstance(link, h5py.HardLink):
            found.append(f"{path!r} is a link")
        else:
            address = h5py.h5o.get_info(file.id, path.encode()).addr
            if address in seen:
                found.append(f"{path!r} is there under another name too")
            seen.add(address)

    def visit(path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
            found.append(f"{path!r} lies in another file")

    with h5py.File(io.BytesIO(data), "r") as file:
        seen = {h5py.h5o.get_info(file.id).addr}
        file.visititems_links(visit_link)
        file.visititems(visit)
    if found:
        raise ValueError(found[0])


def _read(data: bytes) -> bytes:
    """The file's description, or what is wrong with it as ``error``."""
    import nir

    try:
        _refuse_links(data)
        # The graph is checked by the compiler, with messages that name its nodes.
        graph, arrays = describe(nir.read(io.BytesIO(data), type_check=False))
        size = sum(array.nbytes for array in arrays.values())
        if size > _ARRAY_BYTES:
            limit = _ARRAY_BYTES >> 20
            raise ValueError(f"its arrays take {size >> 20} MiB, over the {limit} MiB of a network")
        return encode(graph, arrays)
    except MemoryError:
        return encode({"error": "it needs more memory than the reader may use"}, {})
    except Exception as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    try:
        unknown = _unknown_nodes(data)
    except Exception:
        unknown = []
    return encode({"error": "; ".join(unknown) or text}, {})


def _limit(cpu_s: int) -> None:
    """Give up the means to hang, to fill memory or disk, or to leave a core dump."""
    for what, limit in (
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, _MEMORY_BYTES),
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
