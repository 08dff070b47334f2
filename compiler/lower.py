"""Lowering: transforms fold into one matrix a connection, and neurons become discrete in time."""

from dataclasses import dataclass, field
from math import prod

import numpy as np
import numpy.typing as npt
from scipy import sparse

from spikewright.errors import ModelError

from .convolution import convolution_matrix
from .graph import Affine, Convolution, Delay, Input, Network, Neuron, Output, Scale
from .ir import Circuit, Edge, Population
from .matrices import as_csr, identity, multiply, scale_rows
from .options import Discretization

__all__ = ["MISTAKEN", "lower"]

Array = npt.NDArray[np.float64]


MAX_DELAY = 63
"""Longest delay from a spike to a neuron [timesteps]: what the widest ring of a core holds."""
_WHOLE = 1e-6
"""How far from a whole number of timesteps a delay may be: noise of float arithmetic."""

BELOW = 3 * 2.0**-23
"""Part by which a threshold is lowered that v need only reach, so that quantization, which rounds
thresholds down, but up to an integer at most ``2**-22`` of them above, gives the greatest integer
below: over integers ``v > ceil(v_threshold) - 1`` is ``v >= v_threshold``. All whole thresholds
that a state of 24 bits holds, up to ``2**22``, become the integer below."""
MISTAKEN = 2.0**-22
"""Part of a threshold by which v may miss it at most and still spike, where v need only reach it:
a threshold so little above an integer of the core counts as that integer. Whatever reaches it
spikes. Up to ``2**21`` it is half of this."""
_LEAST = 2.0**-500
"""What a threshold of 0 is lowered by."""

Term = tuple[str, int]
"""Source of spikes, and the delay that they come with [timesteps]."""


@dataclass(slots=True)
class _Sum:
    """An affine expression of spikes: ``sum(matrix @ spikes[source, delay]) + bias``."""

    bias: Array
    terms: dict[Term, sparse.csr_array] = field(default_factory=dict)

    def add(self, other: "_Sum") -> None:
        self.bias = self.bias + other.bias
        for term, matrix in other.terms.items():
            self.terms[term] = self.terms[term] + matrix if term in self.terms else matrix


# What overflows is infinite, and refused by the check that follows this pass.
@np.errstate(over="ignore", invalid="ignore")
def lower(network: Network, discretization: Discretization) -> Circuit:
    """Turn a checked network of resolved semantics into a circuit.

    Raises
    ------
    ModelError
        Neurons whose time constants are too short for ``dt``; delays that are no whole timesteps or
        too long; transforms that run in a circle or lead to an output; neurons that read another
        that never spikes; too many synapses.
    """
    order = _transform_order(network)
    sums: dict[str, _Sum] = {}
    for name in (*network.of_type(Input), *network.of_type(Neuron)):
        size = network.nodes[name].size_out
        sums[name] = _Sum(np.zeros(size), {(name, 0): identity(size)})
    for name in order:
        sums[name] = _apply(network, name, _incoming(network, name, sums))
    populations = {}
    weights: dict[Edge, sparse.csr_array] = {}
    for name in network.of_type(Neuron):
        node = network.nodes[name]
        if isinstance(node, Neuron):
            incoming = _incoming(network, name, sums)
            _check_sources(network, name, incoming)
            populations[name], gain = _discretise(
                name, node, incoming.bias, network.dt or 0.0, discretization
            )
            for (source, delay), matrix in incoming.terms.items():
                weights[Edge(source, name, delay)] = scale_rows(matrix, gain)
    outputs = {
        name: _shown(network, name, _incoming(network, name, sums))
        for name in network.of_type(Output)
    }
    inputs = {name: network.nodes[name] for name in network.of_type(Input)}
    shapes = {name: node.shape for name, node in inputs.items() if isinstance(node, Input)}
    return Circuit(shapes, populations, weights, outputs)


def _transform_order(network: Network) -> list[str]:
    """Nodes that are neither sources nor targets, each after those that it reads."""
    ends = (Input, Output, Neuron)
    left = {
        name: {a for a in network.predecessors(name) if not isinstance(network.nodes[a], ends)}
        for name, node in network.nodes.items()
        if not isinstance(node, ends)
    }
    order: list[str] = []
    while left:
        ready = [name for name, needs in left.items() if needs.isdisjoint(left)]
        if not ready:
            raise ModelError(
                f"Transforms run in a circle without a neuron: {', '.join(map(repr, left))}.",
                hint="Put a spiking neuron into the loop; only spikes can go round.",
            )
        order += ready
        left = {name: needs for name, needs in left.items() if name not in ready}
    return order


def _incoming(network: Network, name: str, sums: dict[str, _Sum]) -> _Sum:
    """Sum of what arrives at a node."""
    total = _Sum(np.zeros(network.nodes[name].size_in))
    for source in network.predecessors(name):
        total.add(sums[source])
    return total


def _apply(network: Network, name: str, x: _Sum) -> _Sum:
    """A transform's result."""
    node = network.nodes[name]
    if isinstance(node, (Affine, Convolution)):
        if isinstance(node, Affine):
            weight, bias = as_csr(node.weight), node.bias
        else:
            weight = convolution_matrix(node, name)
            bias = np.repeat(node.bias, prod(node.shape_out[1:]))
        terms = {term: multiply(weight, m, name) for term, m in x.terms.items()}
        return _Sum(weight @ x.bias + bias, terms)
    if isinstance(node, Scale):
        terms = {term: scale_rows(m, node.scale) for term, m in x.terms.items()}
        return _Sum(node.scale * x.bias, terms)
    if isinstance(node, Delay):
        return _delayed(name, node, x, network.dt or 0.0)
    return x


def _delayed(name: str, node: Delay, x: _Sum, dt: float) -> _Sum:
    """What comes out of a Delay; a bias is the same at any time."""
    steps = node.delay / dt
    whole = np.rint(steps)
    wrong = np.abs(steps - whole) > _WHOLE
    if wrong.any():
        n = int(wrong.argmax())
        near = " or ".join(f"{k * dt:g}" for k in (np.floor(steps[n]), np.ceil(steps[n])))
        raise ModelError(
            f"Node {name!r}, value {n}: delay must be a whole number of timesteps of dt = {dt:g} "
            f"s, not {node.delay[n]:g} s.",
            hint=f"Make it {near} s, or compile with a dt that divides it.",
        )
    longest = max((before for _, before in x.terms), default=0) + whole.max()
    if longest > MAX_DELAY:
        raise ModelError(
            f"Node {name!r}, value {int(whole.argmax())}: delay, with those before it, must be at "
            f"most {MAX_DELAY} timesteps, not {longest:g}.",
            hint=f"Make it {MAX_DELAY * dt:g} s or shorter in all, or compile with a longer dt.",
        )
    result = _Sum(x.bias)
    for delay in np.unique(whole).astype(int).tolist():
        for (source, before), matrix in x.terms.items():
            kept = scale_rows(matrix, (whole == delay).astype(np.float64))
            if kept.nnz or not matrix.nnz:  # an edge of no synapses is an edge all the same
                result.add(_Sum(np.zeros(len(x.bias)), {(source, before + delay): kept}))
    return result


def _shown(network: Network, name: str, x: _Sum) -> str:
    """The population that an output shows."""
    if len(x.terms) == 1 and not x.bias.any():
        (source, delay), matrix = next(iter(x.terms.items()))
        if isinstance(network.nodes[source], Neuron) and not delay and _is_identity(matrix):
            return source
    given = " and ".join(repr(before) for before in network.predecessors(name))
    raise ModelError(
        f"Output {name!r} must show the neurons of one node as they are, not a transform or a sum: "
        f"it gets {given}.",
        hint="End the network with a neuron: LIF for spikes, LI to read a membrane potential.",
    )


def _check_sources(network: Network, name: str, x: _Sum) -> None:
    """Refuse neurons as sources that never spike: a core carries nothing but spikes."""
    for source, _ in x.terms:
        node = network.nodes[source]
        if isinstance(node, Neuron) and node.v_threshold is None:
            raise ModelError(
                f"Node {source!r} ({node.kind}) never spikes, so its membrane potential cannot "
                f"reach node {name!r}: a core carries nothing but spikes between neurons.",
                hint="Read it at an Output, or put a spiking neuron such as LIF in its place.",
            )


def _is_identity(matrix: sparse.csr_array) -> bool:
    size, columns = matrix.shape
    return bool(size == columns and (matrix != identity(size)).nnz == 0)


def _discretise(
    name: str, node: Neuron, bias: Array, dt: float, discretization: Discretization
) -> tuple[Population, Array]:
    """A node's neurons in discrete time, and the gain of their input."""
    a_mem, gain = np.ones(node.size_in), np.full(node.size_in, dt)
    if node.is_memoryless:
        a_mem, gain = np.zeros(node.size_in), np.ones(node.size_in)
    elif node.tau_mem is not None:
        a_mem, gain = _decay(name, "tau_mem", node.tau_mem, dt, discretization)
    gain = gain * node.r
    a_syn = np.zeros(node.size_in)
    if node.tau_syn is not None:
        a_syn, gain_syn = _decay(name, "tau_syn", node.tau_syn, dt, discretization)
        gain = gain * gain_syn * node.w_in
    # From here on v_leak is the origin: the core's membrane decays to 0.
    threshold = np.full(node.size_in, np.inf)
    reset = node.v_reset - node.v_leak
    refractory = 0
    to_value = node.v_threshold is None or node.reset == "zero"
    if node.v_threshold is not None:
        threshold = node.v_threshold - node.v_leak
        if node.strict is False:
            threshold = threshold - np.maximum(BELOW * np.abs(threshold), _LEAST)
        if not node.resets:
            reset = np.zeros(node.size_in)
        elif not to_value:
            reset = node.v_threshold - node.v_reset
            _require(
                name,
                reset > 0,
                "v_threshold must be above v_reset for reset='subtract'",
                "Correct them in the model, or compile with reset='zero'.",
            )
        elif node.reset_delay:
            # The neuron sits at v_reset in the timestep after the spike, whatever arrives.
            _require(
                name,
                node.v_reset <= node.v_threshold,
                "v_reset must not be above v_threshold for a delayed reset",
                "Correct them in the model, or compile with reset_delay=False.",
            )
            refractory = 1
    population = Population(
        name=name,
        kind=node.kind,
        shape=node.shape,
        a_mem=a_mem,
        a_syn=a_syn,
        bias=gain * bias,
        v_threshold=threshold,
        reset=reset,
        v_leak=node.v_leak,
        reset_to=to_value,
        reset_decays=not to_value and bool(node.reset_delay),
        refractory=refractory,
    )
    return population, gain


def _decay(
    name: str, field: str, tau: Array, dt: float, how: Discretization
) -> tuple[Array, Array]:
    """Decay factor and input gain of ``tau dx/dt = -x + input`` over one timestep."""
    x = dt / tau
    if how == "exact":
        return np.exp(-x), -np.expm1(-x)
    _require(
        name,
        x <= 1,
        f"{field} must be at least dt = {dt:g} s for Euler steps, not {tau.min():g} s",
        "Compile with a shorter dt, or with discretization='exact'.",
    )
    return 1 - x, x


def _require(name: str, holds: npt.NDArray[np.bool_], reason: str, hint: str) -> None:
    if not holds.all():
        raise ModelError(f"Node {name!r}, neuron {int(holds.argmin())}: {reason}.", hint=hint)
