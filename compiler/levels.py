"""Levels: which populations are updated together, and so which edges take a timestep."""

from dataclasses import replace
from graphlib import TopologicalSorter

import numpy as np
from scipy import sparse

from .ir import Circuit, Edge

__all__ = ["assign_levels"]


def assign_levels(circuit: Circuit) -> Circuit:
    """Order the populations into the fewest levels such that feed-forward edges lead onward.

    An edge outside all cycles is feed-forward; one with a delay may lead anywhere and is passed
    over. Inside a cycle the population that is fewer edges from an input comes first, and of equals
    the one whose name sorts first: so a hidden layer's recurrence, and feedback from a later layer,
    take one timestep, as in snnTorch. Such edges get the delay 1, as if the graph had said so.
    """
    forward = _forward_edges(circuit)
    needs: dict[str, set[str]] = {name: set() for name in circuit.populations}
    for a, b, _ in forward:
        needs[b].add(a)
    level: dict[str, int] = {}
    for name in TopologicalSorter(needs).static_order():
        level[name] = 1 + max((level[a] for a in needs[name]), default=-1)
    count = 1 + max(level.values())
    levels = tuple(
        tuple(name for name in circuit.populations if level[name] == k) for k in range(count)
    )
    circuit = replace(circuit, levels=levels)
    weights: dict[Edge, sparse.csr_array] = {}
    for edge, matrix in circuit.weights.items():
        arrives = edge if circuit.is_onward(edge) else edge._replace(delay=max(1, edge.delay))
        weights[arrives] = weights[arrives] + matrix if arrives in weights else matrix
    return replace(circuit, weights=weights)


def _forward_edges(circuit: Circuit) -> list[Edge]:
    """Edges between populations that must lead to a later level; free of cycles."""
    names = list(circuit.populations)
    index = {name: k for k, name in enumerate(names)}
    edges = [edge for edge in circuit.weights if edge.source in index and not edge.delay]
    reach = np.eye(len(names), dtype=np.float32)
    for a, b, _ in edges:
        reach[index[a], index[b]] = 1
    for _ in range(len(names).bit_length()):
        reach = np.minimum(reach @ reach, 1)
    distance = _distances(circuit)

    def is_forward(edge: Edge) -> bool:
        a, b, _ = edge
        if not reach[index[b], index[a]]:
            return True
        return (distance[a], a) < (distance[b], b)

    return [edge for edge in edges if is_forward(edge)]


def _distances(circuit: Circuit) -> dict[str, int]:
    """Edges from the nearest input to each population."""
    distance = dict.fromkeys(circuit.inputs, 0)
    frontier = list(circuit.inputs)
    while frontier:
        reached = [b for a, b, _ in circuit.weights if a in frontier and b not in distance]
        step = 1 + distance[frontier[0]]
        distance |= dict.fromkeys(reached, step)
        frontier = list(dict.fromkeys(reached))
    return distance
