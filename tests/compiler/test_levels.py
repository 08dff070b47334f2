import pytest
from networks import lowered, neuron, options

from spikewright.compiler.graph import Input, Network
from spikewright.compiler.ir import Circuit
from spikewright.compiler.levels import assign_levels


def circuit(*edges: str) -> Circuit:
    """Single neurons, an edge ``ab`` from a to b; ``i`` and ``j`` are inputs."""
    names = sorted(set("".join(edges)))
    nodes = {n: Input((1,)) if n in "ij" else neuron() for n in names}
    return lowered(Network(nodes, tuple((e[0], e[1]) for e in edges)), options())


@pytest.mark.parametrize(
    ("edges", "levels", "late"),
    [
        ("ia", "a", ""),
        ("ia ab bc", "a b c", ""),
        ("ia ab bc ac", "a b c", ""),
        ("ia ib ac bc", "ab c", ""),
        ("ia aa ab", "a b", "aa"),
        ("ic cb ba ac", "c b a", "ac"),
        ("ib ba ab", "b a", "ab"),
        ("ia ib ab ba", "a b", "ba"),
        ("ia jd ab ba dc cb", "ad c b", "ba"),
        ("id dc ca ab bb ba", "d c a b", "ba bb"),
    ],
)
def test_feed_forward_edges_lead_onward_and_feedback_takes_a_timestep(
    edges: str, levels: str, late: str
) -> None:
    found = assign_levels(circuit(*edges.split()))
    assert [set(level) for level in found.levels] == [set(level) for level in levels.split()]
    delayed = {edge.source + edge.target for edge in found.weights if not found.is_onward(edge)}
    assert delayed == set(late.split())
