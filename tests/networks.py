"""Small networks for the compiler's tests, and a simulator of theirs in floating point."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.compiler import CompileOptions
from spikewright.compiler.graph import (
    Affine,
    Delay,
    Input,
    Network,
    Neuron,
    Node,
    Output,
    Scale,
)
from spikewright.compiler.ir import Circuit
from spikewright.compiler.lower import lower
from spikewright.compiler.semantics import resolve

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def neuron(kind: str = "LIF", n: int = 1, **changes: Any) -> Neuron:
    """Neurons with tau_mem 4, tau_syn 2, r 4, w_in 2 (so dt = 1 has gain 1) and threshold 1."""
    full = np.ones(n)
    plain = Neuron(
        kind=kind,
        shape=(n,),
        r=full if kind == "IF" else full * 4,
        tau_mem=None if kind == "IF" else full * 4,
        tau_syn=full * 2 if kind.startswith("Cuba") else None,
        w_in=full * 2 if kind.startswith("Cuba") else full,
        v_leak=full * 0,
        v_threshold=full if kind.endswith("IF") else None,
        v_reset=full * 0,
    )
    arrays: dict[str, Any] = {
        name: np.broadcast_to(np.asarray(value, float), (n,)) for name, value in changes.items()
    }
    return replace(plain, **arrays)


def options(
    dt: float | None = 1.0, reset: Any = "zero", reset_delay: Any = False, **formats: Any
) -> CompileOptions:
    return CompileOptions(dt, reset, reset_delay, **formats)


def lowered(network: Network, chosen: CompileOptions) -> Circuit:
    return lower(resolve(network, chosen), chosen.discretization)


def affine(weight: npt.ArrayLike, bias: npt.ArrayLike = 0.0) -> Affine:
    matrix = np.atleast_2d(np.asarray(weight, float))
    return Affine(matrix, np.broadcast_to(np.asarray(bias, float), (len(matrix),)))


def chain(*nodes: Node) -> Network:
    """One after the other, between ``in`` and ``out``; called ``n0``, ``n1`` and so on."""
    first, last = Input((nodes[0].size_in,)), Output((nodes[-1].size_out,))
    named: dict[str, Node] = {"in": first}
    named |= {f"n{k}": node for k, node in enumerate(nodes)}
    named["out"] = last
    names = list(named)
    return Network(named, tuple(pairwise(names)))


def simulate(
    network: Network,
    levels: Sequence[Sequence[str]],
    spikes: Mapping[str, Bools],
    *,
    dt: float = 1.0,
    reset: str = "zero",
    reset_delay: bool = False,
) -> tuple[dict[str, Bools], dict[str, Array]]:
    """Euler steps of the differential equations, straight from NIR's definitions.

    Populations of a level are updated together; what is not yet updated shows the last timestep's
    spikes. Delayed resets are snnTorch's: they act on the membrane of the timestep after.

    Returns
    -------
    spikes, v : by name, ``[timesteps, n]``
    """
    timesteps = len(next(iter(spikes.values())))

    def population(name: str) -> Neuron:
        node = network.nodes[name]
        assert isinstance(node, Neuron)
        return node

    names = network.of_type(Neuron)
    size = {name: network.nodes[name].size_out for name in names}
    now = {name: np.zeros(size[name]) for name in names}
    i = {name: np.zeros(size[name]) for name in names}
    v = {name: population(name).v_leak.copy() for name in names}
    fired = {name: np.zeros((timesteps, size[name]), np.bool_) for name in names}
    seen = {name: np.zeros((timesteps, size[name])) for name in names}

    def value(name: str) -> Array:
        if name in now:
            return now[name]
        node, x = network.nodes[name], incoming(name)
        if isinstance(node, Affine):
            return node.weight @ x + node.bias
        return node.scale * x if isinstance(node, Scale) else x

    def incoming(name: str) -> Array:
        total = np.zeros(network.nodes[name].size_in)
        for a in network.predecessors(name):
            total = total + value(a)
        return total

    for t in range(timesteps):
        now |= {name: lines[t].astype(float) for name, lines in spikes.items()}
        for level in levels:
            arriving = {name: incoming(name) for name in level}
            for name in level:
                node = population(name)
                i[name], v[name] = _flow(node, i[name], v[name], arriving[name], dt)
                v[name], now[name], seen[name][t] = _spike(
                    node, v[name], now[name], reset, reset_delay
                )
                fired[name][t] = now[name] > 0
    return fired, seen


def _flow(node: Neuron, i: Array, v: Array, x: Array, dt: float) -> tuple[Array, Array]:
    i = x if node.tau_syn is None else i + dt / node.tau_syn * (node.w_in * x - i)
    if node.tau_mem is None:
        return i, v + dt * node.r * i
    return i, v + dt / node.tau_mem * (node.v_leak - v + node.r * i)


def _spike(
    node: Neuron, v: Array, before: Array, reset: str, delayed: bool
) -> tuple[Array, Array, Array]:
    """Membrane to go on from, spikes, and membrane to show."""
    if node.v_threshold is None:
        return v, np.zeros_like(v), v
    amount = node.v_threshold - node.v_reset
    if delayed:
        v = v - before * amount if reset == "subtract" else np.where(before, node.v_reset, v)
        spike = v > node.v_threshold
        return v, spike.astype(float), v
    spike = v > node.v_threshold
    after = v - amount if reset == "subtract" else node.v_reset
    v = np.where(spike, after, v)
    return v, spike.astype(float), v


def network(nodes: Mapping[str, Node], *edges: str) -> Network:
    """Edges are written ``a>b>c``."""
    return Network(nodes, tuple(pair for edge in edges for pair in pairwise(edge.split(">"))))


def whole_weights(rng: np.random.Generator, out: int, size: int) -> Affine:
    """Weights that 8 bits hold exactly."""
    weight = rng.integers(-60, 61, (out, size)).astype(float)
    weight[:, 0] = 127
    return affine(weight)


def if_spikes(net: Network, spikes: Bools) -> dict[str, Bools]:
    """Fire IF neurons of reset to zero, timestep by timestep, with ``y(t) = x(t - delay)``.

    Nodes in the order of the mapping see those before them in the same timestep.
    """
    timesteps = len(spikes)
    history: dict[str, Any] = {"in": spikes.astype(float)}
    for name, node in net.nodes.items():
        if name != "in":
            history[name] = np.zeros((timesteps, node.size_out))
    v = {name: np.zeros(net.nodes[name].size_out) for name in net.of_type(Neuron)}
    order = {name: k for k, name in enumerate(net.nodes)}
    for t in range(timesteps):
        for name, node in net.nodes.items():
            if name == "in":
                continue
            total = np.zeros(node.size_in)
            for a in net.predecessors(name):
                if order[a] < order[name]:
                    total += history[a][t]
                elif t:
                    total += history[a][t - 1]
            if isinstance(node, Neuron) and node.v_threshold is not None:
                v[name] = (0 if node.is_memoryless else v[name]) + total
                fired = v[name] > node.v_threshold
                v[name] = np.where(fired, 0, v[name])
                history[name][t] = fired
            elif isinstance(node, Affine):
                history[name][t] = node.weight @ total + node.bias
            elif isinstance(node, Delay):
                for n, steps in enumerate(np.rint(node.delay).astype(int)):
                    later = t + steps
                    if later < timesteps:
                        history[name][later, n] = total[n]
            else:
                history[name][t] = total
    return {name: history[name] > 0 for name in v}


def random_spikes(seed: int, n: int) -> Bools:
    return np.random.default_rng(seed).random((60, n)) < 0.2
