"""Semantics: what a graph and the options say about time, thresholds and resets, resolved once."""

from dataclasses import replace
from typing import TypeVar

from spikewright.errors import ModelError

from .graph import Delay, Network, Neuron, Node
from .options import CompileOptions, Reset

__all__ = ["resolve"]

T = TypeVar("T")


def resolve(network: Network, options: CompileOptions) -> Network:
    """Fill in what the graph leaves open, so that no later pass asks the options.

    Returns
    -------
    Network
        With ``dt``, and with ``strict``, ``reset`` and ``reset_delay`` in every neuron that spikes.
        A threshold is strict where the graph does not say otherwise, as NIR defines its neurons:
        ``v > v_threshold`` (nir 1.0.8, ``nir/ir/neuron.py``).

    Raises
    ------
    ModelError
        Something that neither says, or that the two say differently.
    """
    missing: list[str] = []
    differing: list[str] = []

    def pick(what: str, own: T | None, option: T | None) -> T | None:
        if own is not None and option is not None and own != option:
            differing.append(f"{what} is {own!r} in the model and {option!r} in the options")
        return option if own is None else own

    dt = pick("dt", network.dt, options.dt)
    nodes: dict[str, Node] = {}
    for name, node in network.nodes.items():
        if isinstance(node, Neuron) and node.v_threshold is not None and node.strict is None:
            node = replace(node, strict=True)
        nodes[name] = node
        if isinstance(node, Delay) and dt is None:
            missing.append(f"node {name!r} (Delay) needs dt")
        if not isinstance(node, Neuron) or node.is_memoryless:
            continue
        needed: dict[str, object] = {"dt": dt}
        if node.resets:
            reset: Reset | None = pick(f"node {name!r}: reset", node.reset, options.reset)
            delay = pick(f"node {name!r}: reset_delay", node.reset_delay, options.reset_delay)
            needed |= {"reset": reset, "reset_delay": delay}
            nodes[name] = replace(node, reset=reset, reset_delay=delay)
        if unknown := [field for field, value in needed.items() if value is None]:
            missing.append(f"node {name!r} ({node.kind}) needs {', '.join(unknown)}")
    if missing:
        raise ModelError(
            "NIR does not say how these neurons run:",
            reasons=missing,
            hint="Give dt as the timestep in seconds (snnTorch exports with 1e-4), reset as "
            "'subtract' or 'zero', reset_delay as true (snnTorch's default) or false.",
        )
    if differing:
        raise ModelError(
            "Options contradict the model:",
            reasons=differing,
            hint="Leave these options out: the model says how it runs.",
        )
    return replace(network, nodes=nodes, dt=dt)
