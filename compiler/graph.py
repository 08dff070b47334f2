"""The compiler's graph: NIR's primitives with sizes resolved, still in continuous time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy import sparse

from .options import Reset

__all__ = [
    "Affine",
    "Convolution",
    "Delay",
    "Input",
    "Network",
    "Neuron",
    "Node",
    "Output",
    "Relay",
    "Scale",
]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Shaped:
    """A node that is no more than its shape."""

    shape: tuple[int, ...]

    @property
    def size_in(self) -> int:
        """Values in."""
        return prod(self.shape)

    @property
    def size_out(self) -> int:
        """Values out."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Input(_Shaped):
    """Lines that spikes enter the network by, one axon each."""


@dataclass(frozen=True, slots=True, eq=False)
class Output(_Shaped):
    """A result of the network: the population that it is connected to."""


@dataclass(frozen=True, slots=True, eq=False)
class Relay(_Shaped):
    """Passes its input on, in C order: NIR's ``Flatten``, and the borders of subgraphs."""


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """``y = weight @ x + bias``; NIR's ``Linear`` with a bias of zeros.

    Attributes
    ----------
    weight : float64[out, in]
        An array, or a ``csr_array``.
    bias : float64[out]
    """

    weight: Array | sparse.csr_array
    bias: Array

    @property
    def size_in(self) -> int:
        """Values in."""
        return int(self.weight.shape[1])

    @property
    def size_out(self) -> int:
        """Values out."""
        return int(self.weight.shape[0])


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """``y = scale * x``, elementwise in C order.

    Attributes
    ----------
    scale : float64[n]
    """

    scale: Array

    @property
    def size_in(self) -> int:
        """Values in."""
        return self.scale.size

    @property
    def size_out(self) -> int:
        """Values out."""
        return self.scale.size


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """``y[o, p] = sum(weight[o, c, k] * x[c, p * stride + k * dilation - padding]) + bias[o]``.

    NIR's Conv1d and Conv2d, as in torch, and its pools, whose weights are constant.

    Attributes
    ----------
    weight : float64[out_channels, in_channels // groups, *kernel]
    bias : float64[out_channels]
    shape_in : tuple of int
        ``(in_channels, *space)``.
    stride, dilation : tuple of int
        One a dimension of space.
    padding : tuple of (int, int)
        Zeros before and after, for each dimension of space.
    groups : int
    """

    weight: Array
    bias: Array
    shape_in: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1

    @property
    def shape_out(self) -> tuple[int, ...]:
        """``(out_channels, *space)``; not above 0 where the kernel is wider than the space."""
        space = (
            (size + sum(pad) - dilation * (kernel - 1) - 1) // stride + 1
            for size, pad, dilation, kernel, stride in zip(
                self.shape_in[1:],
                self.padding,
                self.dilation,
                self.weight.shape[2:],
                self.stride,
                strict=True,
            )
        )
        return (len(self.weight), *space)

    @property
    def size_in(self) -> int:
        """Values in."""
        return prod(self.shape_in)

    @property
    def size_out(self) -> int:
        """Values out."""
        return prod(self.shape_out)


@dataclass(frozen=True, slots=True, eq=False)
class Delay:
    """``y(t) = x(t - delay)``, elementwise in C order.

    Attributes
    ----------
    delay : float64[n]
        In the unit of time constants [s].
    """

    delay: Array

    @property
    def size_in(self) -> int:
        """Values in."""
        return self.delay.size

    @property
    def size_out(self) -> int:
        """Values out."""
        return self.delay.size


@dataclass(frozen=True, slots=True, eq=False)
class Neuron:
    """A population of neurons; the last seven kinds of NIR in one form.

    ``tau_syn di_syn/dt = -i_syn + w_in x`` and ``tau_mem dv/dt = v_leak - v + r i_syn``, spiking
    where ``v > v_threshold``, or ``v >= v_threshold`` if not ``strict``; of kind Threshold
    ``v = x``, whatever it was before. Parameters are one value a neuron, in C order.

    Attributes
    ----------
    kind : str
        Name of the NIR primitive: LIF, CubaLIF, IF, LI, CubaLI, I or Threshold; or of two that
        were fused, such as "LI and Threshold".
    shape : tuple of int
    r : float64[n]
        Membrane resistance.
    tau_mem : float64[n] or None
        Time constant of the membrane [s]; None: ``dv/dt = r i_syn`` (IF and I).
    tau_syn : float64[n] or None
        Time constant of the synapse [s]; None: ``i_syn = x`` (all but CubaLIF and CubaLI).
    w_in : float64[n]
        Gain of the synapse, 1 without one.
    v_leak : float64[n]
        Membrane potential at rest, where a run starts, 0 for IF and I.
    v_threshold : float64[n] or None
        None: never spikes (LI, CubaLI and I).
    v_reset : float64[n]
        Where a reset leads, 0 for those that never spike.
    reset, reset_delay : Reset or None, bool or None
        As in :class:`~spikewright.compiler.options.CompileOptions`, if the source of the graph
        says so; None leaves it to the options.
    strict : bool or None
        Whether v must be above the threshold, or may be at it; None is as NIR has it: above.
    """

    kind: str
    shape: tuple[int, ...]
    r: Array
    tau_mem: Array | None
    tau_syn: Array | None
    w_in: Array
    v_leak: Array
    v_threshold: Array | None
    v_reset: Array
    reset: Reset | None = None
    reset_delay: bool | None = None
    strict: bool | None = None

    @property
    def size_in(self) -> int:
        """Neurons."""
        return prod(self.shape)

    @property
    def size_out(self) -> int:
        """Neurons."""
        return prod(self.shape)

    @property
    def is_memoryless(self) -> bool:
        """A Threshold: no state, so no time constants."""
        return self.kind == "Threshold"

    @property
    def resets(self) -> bool:
        """Whether a spike resets the membrane; one behind a Threshold of its own goes on."""
        return self.kind in ("LIF", "CubaLIF", "IF")

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Those that the kind has, by name."""
        names = ("r", "tau_mem", "tau_syn", "w_in", "v_leak", "v_threshold", "v_reset")
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}


Node = Input | Output | Relay | Affine | Convolution | Scale | Delay | Neuron


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Nodes by name and edges between them; a node's input is the sum over its edges.

    Checked by :func:`spikewright.compiler.verify.check_network`, which the compiler calls first.

    Attributes
    ----------
    nodes : mapping of str to Node
    edges : tuple of (str, str)
        From, to.
    name : str
    source : mapping of str to str
        Name and SHA-256 of the file that it came from, if it did.
    dt : float or None
        Timestep [s], if the source of the graph says so; None leaves it to the options.
    """

    nodes: Mapping[str, Node]
    edges: tuple[tuple[str, str], ...]
    name: str = ""
    source: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    dt: float | None = None

    def predecessors(self, name: str) -> list[str]:
        """Nodes with an edge to this one, in order of the edges."""
        return [a for a, b in self.edges if b == name]

    def of_type(self, kind: type[Node]) -> list[str]:
        """Names of the nodes of exactly this type, in order."""
        return [name for name, node in self.nodes.items() if type(node) is kind]
