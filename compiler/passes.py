"""What each pass made, in a file of its own for people to read."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from spikewright.errors import ModelError
from spikewright.image import CoreImage
from spikewright.spec import CoreSpec
from spikewright.storage import replace_file

from .graph import Convolution, Network, Neuron
from .ir import Circuit, Edge, Placement, Quantized

__all__ = [
    "PassWriter",
    "describe_circuit",
    "describe_image",
    "describe_network",
    "describe_placement",
    "describe_quantized",
    "describe_spec",
]

Description = Mapping[str, Any]


class PassWriter:
    """Writes ``01-read.json`` and so on into a folder, pass by pass, as far as a compilation gets.

    Parameters
    ----------
    folder : path or None
        Made if it is not there; None writes nothing.
    """

    def __init__(self, folder: Path | str | None) -> None:
        self._folder = None if folder is None else Path(folder)
        self._count = 0

    def write(self, name: str, describe: Callable[[], Description]) -> None:
        """Write what a pass made; ``describe`` is called only if somebody wants to know.

        Raises
        ------
        ModelError
            The folder or file cannot be written.
        """
        if self._folder is None:
            return
        self._count += 1
        path = self._folder / f"{self._count:02d}-{name}.json"
        text = json.dumps(describe(), indent=2, ensure_ascii=True) + "\n"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            replace_file(path, text.encode())
        except OSError as error:
            raise ModelError(
                f"Cannot write {str(path)!r}: {error.strerror}.",
                hint="Name a folder that you may write to, or do without the passes' files.",
            ) from None


def describe_network(network: Network) -> Description:
    """Nodes with their sizes, parameters and semantics, and edges."""
    nodes = {}
    for name, node in network.nodes.items():
        about: dict[str, Any] = {"type": type(node).__name__}
        if isinstance(node, Neuron):
            about |= {"kind": node.kind, "shape": list(node.shape)}
            about |= {field: _range(values) for field, values in node.parameters.items()}
            about |= {"strict": node.strict}
            about |= {"reset": node.reset, "reset_delay": node.reset_delay}
        elif isinstance(node, Convolution):
            about |= {"shape_in": node.shape_in, "shape_out": node.shape_out}
            about |= {"kernel": node.weight.shape[2:], "stride": node.stride}
            about |= {"padding": node.padding, "dilation": node.dilation, "groups": node.groups}
        nodes[name] = about | {"size_in": node.size_in, "size_out": node.size_out}
    edges = [list(edge) for edge in network.edges]
    return {"name": network.name, "dt": network.dt, "nodes": nodes, "edges": edges}


def describe_circuit(circuit: Circuit) -> Description:
    """Populations in discrete time with their levels, and the matrices between them."""
    levels = {name: k for k, names in enumerate(circuit.levels) for name in names}
    fields = ("a_mem", "a_syn", "bias", "v_threshold", "reset", "v_leak")
    populations = {
        name: {"kind": p.kind, "shape": list(p.shape), "level": levels.get(name)}
        | {field: _range(getattr(p, field)) for field in fields}
        | {"reset_to": p.reset_to, "refractory": p.refractory}
        for name, p in circuit.populations.items()
    }
    return {
        "inputs": {name: list(shape) for name, shape in circuit.inputs.items()},
        "populations": populations,
        "outputs": dict(circuit.outputs),
        "weights": _edges(circuit.weights),
    }


def describe_quantized(quantized: Quantized) -> Description:
    """Raw integers, their scales, and what rounding lost."""
    fields = ("scale", "a_mem", "a_syn", "bias", "v_threshold", "reset", "refractory")
    populations = {
        name: {field: _range(getattr(raw, field)) for field in fields}
        | {"clipped_weights": quantized.clipped[name]}
        for name, raw in quantized.populations.items()
    }
    notes = list(quantized.notes)
    return {"populations": populations, "weights": _edges(quantized.weights), "notes": notes}


def describe_placement(placement: Placement) -> Description:
    """Axons, slots and levels, and how full the weight words are."""
    weights = placement.rows["weights"]
    return {
        "inputs": [where.model_dump() for where in placement.inputs.values()],
        "populations": [where.model_dump() for where in placement.populations.values()],
        "level_groups": list(placement.level_groups),
        "words": len(weights),
        "synapses": int(np.count_nonzero(weights)),
        "lanes_with_a_synapse": float(np.count_nonzero(weights) / max(1, weights.size)),
        "longest_row": int(placement.rows["word_count"].max(initial=0)),
        "longest_delay": int(placement.rows["delays"].max(initial=0)),
    }


def describe_spec(spec: CoreSpec) -> Description:
    """The core."""
    return {"spec": asdict(spec), "hash": spec.hash, "acc_bits": spec.acc_bits}


def describe_image(image: CoreImage) -> Description:
    """What the image says about itself."""
    arrays = {name: [str(a.dtype), *a.shape] for name, a in image.arrays.items()}
    manifest = image.manifest.model_dump(mode="json", exclude={"scales"})
    return {"id": image.id, "arrays": arrays, "manifest": manifest}


def _edges(weights: Mapping[Edge, csr_array]) -> list[Description]:
    return [
        {
            **edge._asdict(),
            "synapses": int(np.count_nonzero(matrix.data)),
            "stored_as_zero": int(np.count_nonzero(matrix.data == 0)),
            "density": float(np.count_nonzero(matrix.data) / np.prod(matrix.shape)),
            "range": _range(matrix.data),
        }
        for edge, matrix in weights.items()
    ]


def _range(values: npt.NDArray[Any]) -> list[float | str] | None:
    """Least and greatest, text where JSON has no number; None of nothing."""
    if not values.size:
        return None
    ends = (values.min().item(), values.max().item())
    return [end if np.isfinite(end) else str(end) for end in ends]
