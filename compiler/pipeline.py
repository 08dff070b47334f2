"""From a NIR file, a graph or a torch module to a core image: the passes in order."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spikewright.errors import ModelError
from spikewright.image import CoreImage
from spikewright.spec import CoreSpec

from .emit import emit
from .fit import check_size, draft_spec, fit, needs_of
from .frontend import from_nir, read_nir
from .fuse import fuse_thresholds
from .graph import Network
from .ir import Circuit, Placement, Quantized
from .levels import assign_levels
from .lower import lower
from .options import CompileOptions, Discretization
from .passes import (
    PassWriter,
    describe_circuit,
    describe_image,
    describe_network,
    describe_placement,
    describe_quantized,
    describe_spec,
)
from .place import place
from .quantize import quantize
from .report import calibrate, static_report
from .semantics import resolve
from .verify import (
    check_accumulators,
    check_circuit,
    check_image,
    check_network,
    check_placement,
    check_quantized,
    check_resolved,
)

if TYPE_CHECKING:
    import nir
    import torch

__all__ = ["circuit_of", "compile_network", "load_network", "to_circuit", "to_image"]

_SILENT = PassWriter(None)
_PAYS = 0.75
"""Share of a dense network's words with which sparse ones, wider by their groups, are worth it."""

TORCH_SUFFIXES = (".pt", ".pth", ".ckpt")


def compile_network(
    source: "Path | str | nir.NIRGraph | torch.nn.Module | Network",
    options: CompileOptions | None = None,
    *,
    sample: "torch.Tensor | None" = None,
    spec: CoreSpec | None = None,
    calibration: npt.NDArray[np.bool_] | None = None,
    dump_passes: Path | str | None = None,
) -> CoreImage:
    """Compile a trained network for a core.

    Parameters
    ----------
    source : path, nir.NIRGraph, torch.nn.Module or Network
        A NIR file, a NIR graph, a module of snnTorch, Norse, Sinabs or SpikingJelly as in
        :func:`~spikewright.compiler.torch_frontend.from_torch`, or a graph of
        :mod:`spikewright.compiler.graph`.
    options : CompileOptions
        Timestep, reset and number formats.
    sample : torch.Tensor
        What the module's forward takes; needed for a module, and for nothing else.
    spec : CoreSpec
        The core to fit; by default the smallest that holds the network.
    calibration : bool[samples, timesteps, inputs]
        Input spikes to measure saturation, silent neurons and accumulators with, on the golden
        model; what they show is in the image's report. With ``options.tune`` also what scales,
        biases, thresholds and decays are chosen by.
    dump_passes : path
        Folder that gets a JSON file of what each pass made: sizes, sparsity, scales, places.

    Returns
    -------
    CoreImage
        With the resolved semantics, the scales and the report in its manifest.

    Raises
    ------
    ModelError
        A file that cannot be read, a graph that is not valid or not clear without an option that
        was not given, or a network too large for the spec; names the node, limit and remedy.
    SpecError
        Number formats that no core has.
    """
    options = options or CompileOptions()
    passes = PassWriter(dump_passes)
    network, circuit, draft = to_circuit(source, options, spec, sample, passes)
    return to_image(
        network, circuit, draft, options, spec=spec, calibration=calibration, passes=passes
    )


def to_circuit(
    source: "Path | str | nir.NIRGraph | torch.nn.Module | Network",
    options: CompileOptions,
    spec: CoreSpec | None = None,
    sample: "torch.Tensor | None" = None,
    passes: PassWriter = _SILENT,
) -> tuple[Network, Circuit, CoreSpec]:
    """The passes before rounding; see :func:`compile_network`.

    Returns
    -------
    Network
        With its semantics resolved.
    Circuit
        The same in discrete time, still real values.
    CoreSpec
        The number formats to round to, as :func:`~spikewright.compiler.fit.draft_spec` gives them.
    """
    draft = draft_spec(spec, options)
    network = load_network(source, options, sample)
    check_network(network)
    passes.write("read", lambda: describe_network(network))
    check_size(network, draft, spec)
    network = resolve(fuse_thresholds(network), options)
    passes.write("resolve", lambda: describe_network(network))
    check_resolved(network)
    return network, circuit_of(network, options.discretization, passes), draft


def to_image(
    network: Network,
    circuit: Circuit,
    draft: CoreSpec,
    options: CompileOptions,
    *,
    spec: CoreSpec | None = None,
    calibration: npt.NDArray[np.bool_] | None = None,
    passes: PassWriter = _SILENT,
) -> CoreImage:
    """The passes from rounding on: what :func:`to_circuit` gave, or that with other values."""
    check_circuit(circuit)
    quantized = quantize(circuit, draft, options, calibration)
    passes.write("quantize", lambda: describe_quantized(quantized))
    check_quantized(circuit, quantized, draft)
    placement, draft = _place(circuit, quantized, draft, options, spec)
    passes.write("place", lambda: describe_placement(placement))
    check_placement(circuit, placement, draft.lanes)
    fitted = fit(needs_of(placement, quantized, draft.lanes), draft, spec)
    passes.write("fit", lambda: describe_spec(fitted))
    check_accumulators(circuit, quantized, fitted)
    report = static_report(circuit, quantized, fitted.acc_bits)
    image = emit(
        network, circuit, quantized, placement, fitted, options.discretization, report.to_dict()
    )
    passes.write("emit", lambda: describe_image(image))
    check_image(image, circuit, placement, quantized)
    if calibration is None:
        return image
    report = calibrate(image, report, calibration)
    passes.write("calibrate", report.to_dict)
    manifest = image.manifest.model_copy(update={"report": report.to_dict()})
    return replace(image, manifest=manifest)


def _place(
    circuit: Circuit,
    quantized: Quantized,
    draft: CoreSpec,
    options: CompileOptions,
    spec: CoreSpec | None,
) -> tuple[Placement, CoreSpec]:
    """The placement, and the draft with rows as the spec or the options say, else as it pays."""
    if spec is not None or options.sparse is not None:
        return place(circuit, quantized, draft.lanes, draft.sparse), draft
    sparse = place(circuit, quantized, draft.lanes, True)
    try:
        dense = place(circuit, quantized, draft.lanes)
    except ModelError:  # several delays between two neurons
        return sparse, replace(draft, sparse=True)
    if len(sparse.rows["weights"]) <= _PAYS * len(dense.rows["weights"]):
        return sparse, replace(draft, sparse=True)
    return dense, draft


def circuit_of(
    network: Network, discretization: Discretization, passes: PassWriter = _SILENT
) -> Circuit:
    """A checked network of resolved semantics in discrete time. Raises :class:`ModelError`."""
    lowered = lower(network, discretization)
    passes.write("lower", lambda: describe_circuit(lowered))
    check_circuit(lowered)
    circuit = assign_levels(lowered)
    passes.write("levels", lambda: describe_circuit(circuit))
    check_circuit(circuit)
    return circuit


def load_network(
    source: "Path | str | nir.NIRGraph | torch.nn.Module | Network",
    options: CompileOptions | None = None,
    sample: "torch.Tensor | None" = None,
) -> Network:
    """The graph of any source that is compiled. Raises :class:`ModelError` for a bad one."""
    options = options or CompileOptions()
    if isinstance(source, Network):
        return source
    if isinstance(source, (str, Path)):
        if Path(source).suffix.lower() in TORCH_SUFFIXES:
            raise ModelError(
                f"Network {str(source)!r}: a file of weights does not say what its layers do.",
                hint="Build its torch module, read the file with spikewright.compiler."
                "torch_weights.load_weights(module, path), and compile the module with a sample.",
            )
        return read_nir(source)
    torch = sys.modules.get("torch")  # whoever has a module has imported it
    if torch is None or not isinstance(source, torch.nn.Module):
        return from_nir(source)
    if options.discretization != "euler":
        raise ModelError(
            "A torch module's neurons are in discrete time already.",
            hint="Leave discretization as 'euler': its steps are the module's own.",
        )
    if sample is None:
        raise ModelError(
            "A torch module is compiled with a sample of its input.",
            hint="Give sample, a tensor of the shape that its forward takes, batch first.",
        )
    from .torch_frontend import from_torch

    return from_torch(source, sample, options.dt)
