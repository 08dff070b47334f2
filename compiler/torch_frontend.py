"""The front end for torch modules: snnTorch, Norse, Sinabs and SpikingJelly."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import nir
import numpy as np

from spikewright.errors import ModelError

from .frontend import from_nir
from .graph import Network, Neuron
from .torch_cells import Cells, Converters, refuse, to_nir
from .torch_layers import LAYERS, fold_batch_norm, is_batch_norm, is_passed, to_layer
from .torch_norse import CELLS as NORSE
from .torch_sinabs import CELLS as SINABS
from .torch_snntorch import CELLS as SNNTORCH
from .torch_spikingjelly import CELLS as SPIKINGJELLY
from .torch_trace import INPUT, Leaf, Wiring, trace

__all__ = ["from_torch"]

DT = 1e-4
"""Timestep [s] for frameworks that count in timesteps: that of snnTorch's own NIR export."""

_CELLS: Mapping[str, Converters] = MappingProxyType({
    "norse": NORSE,
    "sinabs": SINABS,
    "snntorch": SNNTORCH,
    "spikingjelly": SPIKINGJELLY,
})


def from_torch(module: Any, sample: Any, dt: float | None = None) -> Network:
    """Take over a torch module: its layers, and how its neurons run.

    Decays, thresholds, resets and their timing come from each neuron layer, in such terms that an
    Euler step of the network's ``dt`` is one timestep of the module. What no layer reads is an
    output: its spikes, or the membrane of a neuron that never resets (snnTorch's
    ``reset_mechanism="none"``) or is an integrator by itself.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode where it has dropout or batch normalization. Left as it was.
    sample : torch.Tensor
        What its forward takes, batch first within a timestep; only shapes and the way from layer
        to layer matter. A module with recurrence of its own making needs two timesteps or more.
    dt : float or None
        Timestep [s] to give a module that has none of its own; 1e-4 by default, without effect on
        the spikes. Norse's neurons have their own.

    Returns
    -------
    Network
        With ``dt``, and ``reset`` and ``reset_delay`` of every neuron that spikes.

    Raises
    ------
    ModelError
        Layers, options of layers, or operations between layers that no core has; names each node,
        why, and what to do.
    """
    _require_inference(module)
    wiring = trace(module, sample, lambda part: _converter(part) is not None, is_passed)
    _require_known(wiring)
    cells = {
        name: convert(leaf.module, name)
        for name, leaf in wiring.leaves.items()
        if (convert := _converter(leaf.module))
    }
    _require_readable(cells, wiring)
    step = _timestep(cells, dt)
    parts = _Parts({}, list(wiring.edges))
    for name, leaf in wiring.leaves.items():
        if name in cells:
            _add_cells(parts, name, cells[name], leaf, step)
        elif is_batch_norm(leaf.module):
            _add_batch_norm(parts, name, leaf)
        else:
            parts.nodes[name] = to_layer(leaf.module, name, leaf.shape_in)
    _add_ends(parts, wiring, cells)
    graph = nir.NIRGraph(parts.nodes, parts.edges, type_check=False)
    network = from_nir(graph, type(module).__name__)
    return _with_semantics(network, cells, step)


@dataclass(frozen=True, slots=True)
class _Parts:
    """A NIR graph in the making."""

    nodes: dict[str, Any]
    edges: list[tuple[str, str]]


def _converter(module: Any) -> Any:
    """What makes cells of a module, by the package and name of its own class; None if nothing."""
    kind = type(module)
    return _CELLS.get(kind.__module__.partition(".")[0], {}).get(kind.__name__)


def _require_inference(module: Any) -> None:
    reasons = [
        f"node {name!r} ({type(part).__name__}) is in training mode"
        for name, part in module.named_modules()
        if part.training
        and (is_batch_norm(part) or (is_passed(part) and getattr(part, "p", 0) > 0))
    ]
    reasons += [
        f"node {name!r} ({type(part).__name__}) normalizes each batch by itself"
        for name, part in module.named_modules()
        if is_batch_norm(part) and part.running_mean is None
    ]
    if reasons:
        raise ModelError(
            "Torch module would not run as it does at inference:",
            reasons=reasons,
            hint="Call module.eval() first; train batch norms with track_running_stats=True.",
        )


def _require_known(wiring: Wiring) -> None:
    reasons = [
        f"node {name!r} is of unsupported type {type(leaf.module).__name__}"
        for name, leaf in wiring.leaves.items()
        if not _converter(leaf.module)
        and not is_batch_norm(leaf.module)
        and type(leaf.module).__name__ not in LAYERS
    ]
    if reasons:
        known = {*LAYERS, "Dropout", "BatchNorm"}.union(*_CELLS.values())
        raise ModelError(
            "Torch module has layers that cannot be compiled:",
            reasons=reasons,
            hint=f"Supported types: {', '.join(sorted(known))}.",
        )


def _require_readable(cells: Mapping[str, Cells], wiring: Wiring) -> None:
    """A layer that never resets can be read, not feed others: no core's neuron spikes so."""
    for name, cell in cells.items():
        readers = [b for a, b in wiring.edges if a == name]
        if cell.v_threshold is None and (readers or cell.recurrent is not None):
            raise refuse(
                wiring.leaves[name].module,
                name,
                f"it never resets, and its spikes go to node {(readers or [name])[0]!r}",
                "Train this layer with a reset; only as the last layer, whose membrane is read, "
                "can a neuron do without.",
            )


def _timestep(cells: Mapping[str, Cells], dt: float | None) -> float:
    """The one timestep [s] of all layers; ``dt`` where they have none."""
    own = {name: cell.dt for name, cell in cells.items() if cell.dt is not None}
    if len(set(own.values())) > 1:
        raise ModelError(
            "Layers differ in their timestep:",
            reasons=[f"node {name!r}: dt is {value:g} s" for name, value in own.items()],
            hint="Give all of them the same dt.",
        )
    return next(iter(own.values()), dt or DT)


def _add_cells(parts: _Parts, name: str, cells: Cells, leaf: Leaf, dt: float) -> None:
    """A layer of neurons, and the way from its spikes back to its input."""
    shape = leaf.shape_in[cells.batch_axes :]
    if not shape:
        raise refuse(
            leaf.module,
            name,
            f"its input must have {cells.batch_axes} axes before the neurons', not shape "
            f"{leaf.shape_in}",
            "Give the sample a batch axis in front, even if of size 1.",
        )
    parts.nodes[name] = to_nir(cells, shape, dt)
    if cells.recurrent is None:
        return
    back = _back(name)
    if hasattr(cells.recurrent, "weight"):
        parts.nodes[back] = to_layer(cells.recurrent, back, leaf.shape_in)
    else:
        parts.nodes[back] = nir.Scale(np.array(np.broadcast_to(cells.recurrent, shape)))
    parts.edges.extend([(name, back), (back, name)])


def _add_batch_norm(parts: _Parts, name: str, leaf: Leaf) -> None:
    """Fold it into the layer that feeds it, and only it."""
    sources = [a for a, b in parts.edges if b == name]
    shared = [b for a, b in parts.edges if a in sources and b != name]
    before = parts.nodes.get(sources[0])
    if len(sources) != 1 or shared or not hasattr(before, "weight"):
        raise refuse(
            leaf.module,
            name,
            f"it gets {', '.join(repr(a) if a else 'the sample' for a in sources)}, and folds only "
            "into a Linear or Conv layer that feeds nothing else",
            "Put it right after such a layer.",
        )
    parts.nodes[sources[0]] = fold_batch_norm(before, leaf.module)
    parts.edges[:] = [
        (sources[0] if a == name else a, b) for a, b in parts.edges if (a, b) != (sources[0], name)
    ]


def _add_ends(parts: _Parts, wiring: Wiring, cells: Mapping[str, Cells]) -> None:
    """The input, and an output for each node that no other reads."""
    reader = next((b for a, b in wiring.edges if a == INPUT), None)
    if reader is None:
        raise ModelError(
            "Torch module does not read its sample.", hint="Give it one layer or more that does."
        )
    first = wiring.leaves[reader]
    axes = cells[reader].batch_axes if reader in cells else 1
    if type(first.module).__name__ == "Linear":
        axes = len(first.shape_in) - 1
    last = [
        name for name in parts.nodes if {b for a, b in parts.edges if a == name} <= {_back(name)}
    ]
    name = _unused("input", parts)
    parts.nodes[name] = nir.Input(np.array(first.shape_in[axes:]))
    parts.edges[:] = [(name if a == INPUT else a, b) for a, b in parts.edges]
    for node in last:
        name = _unused("output" if len(last) == 1 else f"output_{node}", parts)
        shape = wiring.leaves[node].shape_out
        parts.nodes[name] = nir.Output(
            np.array(shape[cells[node].batch_axes :] if node in cells else shape[-1:])
        )
        parts.edges.append((node, name))


def _back(name: str) -> str:
    """Name of the way from a layer's spikes to its own input."""
    return f"{name}.recurrent"


def _unused(name: str, parts: _Parts) -> str:
    while name in parts.nodes:
        name += "_"
    return name


def _with_semantics(network: Network, cells: Mapping[str, Cells], dt: float) -> Network:
    """Say in each node what NIR cannot: spikes at the threshold, its reset, and when it acts."""
    nodes = dict(network.nodes)
    for name, cell in cells.items():
        node = nodes[name]
        if isinstance(node, Neuron):
            nodes[name] = replace(
                node, reset=cell.reset, reset_delay=cell.reset_delay, strict=cell.strict
            )
    return replace(network, nodes=nodes, dt=dt)
