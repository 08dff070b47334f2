"""Quantization-aware training: the core's integers forward, surrogate gradients backward."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from spikewright.errors import ModelError
from spikewright.fixed import DECAY_ONE
from spikewright.image import CoreImage
from spikewright.spec import CoreSpec

from .graph import Network
from .ir import Circuit, Edge, Population, Quantized, RawPopulation
from .matrices import rows_of, with_data
from .options import CompileOptions
from .pipeline import to_circuit, to_image
from .quantize import quantize
from .surrogate import Neurons, State, rounded
from .verify import check_circuit

if TYPE_CHECKING:
    import nir

__all__ = ["PARAMETERS", "IntegerNetwork", "IntegerRun"]

PARAMETERS = ("weights", "bias", "v_threshold", "a_mem", "a_syn")
"""What can be trained: lists of an :class:`IntegerNetwork`, and fields of a population."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class IntegerRun:
    """What a forward pass did, by population.

    Attributes
    ----------
    spikes : mapping of str to float64[samples, timesteps, n]
        0 and 1.
    v : mapping of str to float64[samples, timesteps, n]
        Membrane potentials after each timestep: the core's integers.
    unit : mapping of str to float64[n]
        Real value of one step of v, whose 0 is the neuron's ``v_leak``.
    """

    spikes: Mapping[str, Tensor]
    v: Mapping[str, Tensor]
    unit: Mapping[str, Tensor]


class IntegerNetwork(torch.nn.Module):
    """A network to train whose forward pass is the core's, bit for bit.

    The forward pass rounds the real parameters as :func:`~spikewright.compiler.quantize.quantize`
    does, scale of every neuron included, and runs timesteps with the integers of
    :mod:`spikewright.sim.golden`. The backward pass takes rounding and saturation for identities
    and a spike for a fast sigmoid. :meth:`to_image` gives the image that runs what was trained.

    What is trained is the circuit of :mod:`spikewright.compiler.ir`: each synapse has a weight of
    its own, those of convolutions too. Where the weight is 0 when the module is made there is no
    synapse, and delays stay as they are. Decays are kept in [0, 1]. A subtracting reset moves with
    its threshold. Parameters must stay float64.

    Parameters
    ----------
    source, options, spec
        As in :func:`~spikewright.compiler.pipeline.compile_network`, without ``tune``; the
        options' ``bits``, ``scaling`` and ``percentile`` clip weights in training as in compiling.
    trainable : collection of str
        Which of :data:`PARAMETERS` get gradients.
    slope : float
        Steepness of the fast sigmoid, per real unit of the membrane potential.

    Attributes
    ----------
    weights : ParameterList
        ``float64[synapses]`` of each edge of the circuit, in its order: the data of its matrix.
    bias, v_threshold, a_mem, a_syn : ParameterList
        ``float64[n]`` of each population of the circuit, in its order.

    Raises
    ------
    ModelError
        What the compiler raises for this network, or parameters that there are not.
    """

    def __init__(
        self,
        source: "Path | str | nir.NIRGraph | Network",
        options: CompileOptions | None = None,
        *,
        spec: CoreSpec | None = None,
        trainable: Collection[str] = ("weights", "bias"),
        slope: float = 25.0,
    ) -> None:
        super().__init__()
        if unknown := sorted(set(trainable) - set(PARAMETERS)):
            raise ModelError(
                f"Parameters to train must be some of {', '.join(PARAMETERS)}, not "
                f"{', '.join(map(repr, unknown))}.",
                hint="The default is ('weights', 'bias').",
            )
        self.slope = slope
        self._options, self._spec = options or CompileOptions(), spec
        if self._options.tune:
            raise ModelError(
                "tune is for compiling: training moves what it chose.",
                hint="Leave it out; correct_bias makes a good start for training.",
            )
        self._network, self._circuit, self._draft = to_circuit(source, self._options, spec)
        populations = self._circuit.populations.values()
        values = {"weights": [matrix.data for matrix in self._circuit.weights.values()]}
        values |= {name: [getattr(p, name) for p in populations] for name in PARAMETERS[1:]}
        for name, arrays in values.items():
            tensors = [torch.tensor(array, dtype=torch.float64) for array in arrays]
            wanted = name in trainable
            parameters = [torch.nn.Parameter(tensor, requires_grad=wanted) for tensor in tensors]
            setattr(self, name, torch.nn.ParameterList(parameters))

    def circuit(self) -> Circuit:
        """The circuit in discrete time with the real parameters as they are now."""
        return replace(
            self._circuit,
            populations={
                name: self._population(k, old)
                for k, (name, old) in enumerate(self._circuit.populations.items())
            },
            weights={
                edge: with_data(matrix, _array(weight))
                for (edge, matrix), weight in zip(
                    self._circuit.weights.items(), self.weights, strict=True
                )
            },
        )

    def correct_bias(self, spikes: Tensor) -> None:
        """Add to every bias what rounding the weights takes from the neuron's mean input.

        It needs no training, and is a better start for one. Levels are corrected in order, each at
        the spike rates of those before it as they are by then.

        Source: bias correction, Nagel et al. 2019, arXiv:1906.04721, section 4.2.

        Parameters
        ----------
        spikes : tensor[samples, timesteps, axons]
            Typical input, as for :meth:`forward`.

        Raises
        ------
        ModelError
            As :meth:`forward`.
        """
        names = list(self._circuit.populations)
        for level in self._circuit.levels:
            with torch.no_grad():
                fired = {**self(spikes).spikes, **_by_input(self._circuit, spikes.double())}
            rates = {name: _array(each.mean(dim=(0, 1))) for name, each in fired.items()}
            circuit, quantized = self._quantized()
            for edge, weight in circuit.weights.items():
                if edge.target in level:
                    scale, rate = quantized.populations[edge.target].scale, rates[edge.source]
                    lost = weight @ rate - scale * (quantized.weights[edge] @ rate)
                    bias = self.bias[names.index(edge.target)].data
                    bias += bias.new_tensor(lost)

    def to_image(self, calibration: npt.NDArray[np.bool_] | None = None) -> CoreImage:
        """Compile what was trained: the golden model runs it with the spikes and v of this module.

        Parameters
        ----------
        calibration : bool[samples, timesteps, inputs]
            As in :func:`~spikewright.compiler.pipeline.compile_network`.

        Raises
        ------
        ModelError
            Parameters that are not finite, or a network too large for the spec.
        """
        return to_image(
            self._network,
            self.circuit(),
            self._draft,
            self._options,
            spec=self._spec,
            calibration=calibration,
        )

    def forward(self, spikes: Tensor) -> IntegerRun:
        """Run samples, each from a cleared state.

        Parameters
        ----------
        spikes : tensor[samples, timesteps, axons]
            0 and 1, of any dtype; the axons of the network's inputs one after another, as in the
            image.

        Raises
        ------
        ModelError
            Spikes of another shape or other values, parameters that are no longer float64 or
            finite, or that :func:`~spikewright.compiler.quantize.quantize` cannot round.
        """
        spikes = self._checked(spikes).to(self.bias[0])
        neurons, incoming = self._rounded()
        arriving = _from_inputs(self._circuit, incoming, spikes)
        states = {}
        for name, population in self._circuit.populations.items():
            none = spikes.new_zeros(len(spikes), population.size)
            states[name] = State(none, none, none, none)
        fired: dict[str, list[Tensor]] = {name: [] for name in states}
        v: dict[str, list[Tensor]] = {name: [] for name in states}
        for t in range(spikes.shape[1]):
            for level in self._circuit.levels:
                acc = {
                    name: sum(
                        (
                            fired[edge.source][t - edge.delay] @ weight.T
                            for edge, weight in incoming[name].items()
                            if edge.source in fired and edge.delay <= t
                        ),
                        start=arriving[name][:, t],
                    )
                    for name in level
                }
                for name in level:
                    states[name].update(acc[name], neurons[name], self._draft, self.slope)
                    fired[name].append(states[name].spikes)
                    v[name].append(states[name].v)
        return IntegerRun(
            spikes={name: torch.stack(steps, dim=1) for name, steps in fired.items()},
            v={name: torch.stack(steps, dim=1) for name, steps in v.items()},
            unit={name: each.unit for name, each in neurons.items()},
        )

    def _population(self, k: int, old: Population) -> Population:
        """The k-th population as it is now."""
        v_threshold, reset = _array(self.v_threshold[k]), old.reset
        if not old.reset_to:
            reset = reset + (v_threshold - old.v_threshold)
        return replace(
            old,
            a_mem=_array(self.a_mem[k]).clip(0, 1),
            a_syn=_array(self.a_syn[k]).clip(0, 1),
            bias=_array(self.bias[k]),
            v_threshold=v_threshold,
            reset=reset,
        )

    def _checked(self, spikes: Tensor) -> Tensor:
        """The spikes, if they and the parameters are what a forward pass takes."""
        axons = sum(int(np.prod(shape)) for shape in self._circuit.inputs.values())
        if spikes.ndim != 3 or spikes.shape[1] < 1 or spikes.shape[2] != axons:
            raise ModelError(
                f"Spikes must have shape [samples, timesteps, {axons}], not {[*spikes.shape]}.",
                hint="Stack samples along the first axis and timesteps along the second.",
            )
        if not ((spikes == 0) | (spikes == 1)).all():
            raise ModelError(
                "Spikes must be 0 or 1.", hint="Code analogue values as spikes, or compare them."
            )
        for name, parameter in self.named_parameters():
            if parameter.dtype != torch.float64:
                raise ModelError(
                    f"Parameter {name!r} must be float64, not {parameter.dtype}: narrower floats "
                    "do not hold the core's integers.",
                    hint="Move the module with .to(device) alone; call .double() after .float().",
                )
        return spikes

    def _quantized(self) -> tuple[Circuit, Quantized]:
        """The circuit as it is now, and what the compiler rounds it to."""
        circuit = self.circuit()
        check_circuit(circuit)
        return circuit, quantize(circuit, self._draft, self._options)

    def _rounded(self) -> tuple[dict[str, Neurons], dict[str, dict[Edge, Tensor]]]:
        """Raw integers of every population, and of the weights into it by edge."""
        circuit, quantized = self._quantized()
        neurons = {}
        incoming: dict[str, dict[Edge, Tensor]] = {}
        for k, (name, real) in enumerate(circuit.populations.items()):
            neurons[name] = self._neurons(k, quantized.populations[name], real.reset_decays)
            incoming[name] = {}
        for edge, weight in zip(circuit.weights, self.weights, strict=True):
            matrix, rows = quantized.weights[edge], rows_of(quantized.weights[edge])
            scale = quantized.populations[edge.target].scale
            data = rounded(weight, matrix.data, 1 / scale[rows])
            where = [
                torch.as_tensor(index).to(data.device).long() for index in (rows, matrix.indices)
            ]
            incoming[edge.target][edge] = data.new_zeros(matrix.shape).index_put(where, data)
        return neurons, incoming

    def _neurons(self, k: int, raw: RawPopulation, reset_decays: bool) -> Neurons:
        """Raw integers of the k-th population."""
        steps = 2.0**self._draft.fraction_bits / raw.scale
        # A subtracting reset follows its threshold one to one; one to a value follows nothing.
        reset_steps = steps * (raw.reset_to == 0)
        if reset_decays:
            reset_steps = reset_steps * DECAY_ONE / raw.a_mem
        v_threshold = self.v_threshold[k]
        return Neurons(
            a_mem=rounded(self.a_mem[k], raw.a_mem, DECAY_ONE),
            a_syn=rounded(self.a_syn[k], raw.a_syn, DECAY_ONE),
            bias=rounded(self.bias[k], raw.bias, steps),
            v_threshold=rounded(v_threshold, raw.v_threshold, steps),
            reset=rounded(v_threshold, raw.reset, reset_steps),
            reset_to=v_threshold.new_tensor(raw.reset_to),
            refractory=v_threshold.new_tensor(raw.refractory),
            unit=v_threshold.new_tensor(1 / steps),
        )


def _array(parameter: Tensor) -> Array:
    """A parameter's values, of its own."""
    values: Array = parameter.detach().cpu().numpy().copy()
    return values


def _by_input(circuit: Circuit, spikes: Tensor) -> dict[str, Tensor]:
    """Spikes of each input, ``[samples, timesteps, n]``."""
    sizes = [int(np.prod(shape)) for shape in circuit.inputs.values()]
    return dict(zip(circuit.inputs, spikes.split(sizes, dim=2), strict=True))


def _from_inputs(
    circuit: Circuit, incoming: Mapping[str, Mapping[Edge, Tensor]], spikes: Tensor
) -> dict[str, Tensor]:
    """What all inputs bring into each population, ``float64[samples, timesteps, n]``."""
    inputs = _by_input(circuit, spikes)
    arriving = {}
    for name, weights in incoming.items():
        total = spikes.new_zeros(*spikes.shape[:2], circuit.populations[name].size)
        for edge, weight in weights.items():
            if edge.source in inputs and edge.delay < spikes.shape[1]:
                # As many timesteps as before: zeros come in, and the last spikes drop out.
                late = pad(inputs[edge.source], (0, 0, edge.delay, -edge.delay))
                total = total + late @ weight.T
        arriving[name] = total
    return arriving
