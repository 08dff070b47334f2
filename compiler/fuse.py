"""Fusing: a membrane and the Threshold that reads it are one population."""

from dataclasses import replace

from .graph import Network, Neuron, Node, Output

__all__ = ["fuse_thresholds"]


def fuse_thresholds(network: Network) -> Network:
    """Give a Threshold that reads nothing but an LI, CubaLI or I that membrane, without a reset.

    Outputs of the membrane show it there: it is the same potential at all times.
    """
    nodes: dict[str, Node] = dict(network.nodes)
    edges = list(network.edges)
    for name, node in network.nodes.items():
        if not isinstance(node, Neuron) or not node.is_memoryless:
            continue
        before = network.predecessors(name)
        membrane = network.nodes[before[0]] if len(before) == 1 else None
        if isinstance(membrane, Neuron) and membrane.v_threshold is None:
            nodes[name] = replace(
                membrane, kind=f"{membrane.kind} and Threshold", v_threshold=node.v_threshold
            )
            edges.remove((before[0], name))
            edges += [(a, name) for a, b in edges if b == before[0]]
            edges = [
                (name, b) if a == before[0] and isinstance(nodes.get(b), Output) else (a, b)
                for a, b in edges
            ]
    read = {a for a, _ in edges}
    unread = {a for a, _ in network.edges if a not in read}
    return replace(
        network,
        nodes={name: node for name, node in nodes.items() if name not in unread},
        edges=tuple((a, b) for a, b in edges if b not in unread),
    )
