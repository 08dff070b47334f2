"""Neurons of snnTorch: decays, thresholds and resets as its forward functions have them.

Read off snnTorch 1.0.0. Its NIR export says nothing of resets, divides by zero where nothing
leaks, and does not clamp decays as forward does, so parameters come from the module itself.
"""

from typing import Any

import numpy as np

from .options import Reset
from .torch_cells import Cells, Converters, refuse, to_array

__all__ = ["CELLS"]

_RESETS = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}
_MECHANISMS = ("subtract", "zero", "none")


def _cells(module: Any, name: str) -> Cells:
    """Leaky, Synaptic, RLeaky and RSynaptic.

    ``reset_delay=False`` with ``"subtract"`` is an immediate reset unless v is above the threshold
    even after it: snnTorch then wants twice the threshold in the next timestep, which no core does.

    Raises
    ------
    ModelError
        ``inhibition``, ``state_quant``, graded spikes, thresholds that are not above 0, or a reset
        mechanism that was changed halfway.
    """
    kind = type(module).__name__
    _require_plain(module, name)
    reset = _reset(module, name)
    threshold = to_array(module.threshold)
    if (threshold <= 0).any():
        raise refuse(
            module,
            name,
            f"threshold must be above 0, not {threshold.min():g}",
            "Train it with a threshold that stays above 0.",
        )
    return Cells(
        a_mem=to_array(module.beta).clip(0, 1),
        a_syn=to_array(module.alpha).clip(0, 1) if kind.endswith("Synaptic") else None,
        gain=np.ones(()),
        v_threshold=None if reset is None else threshold,
        v_leak=np.zeros(()),
        v_reset=np.zeros(()),
        reset=reset,
        reset_delay=None if reset is None else _reset_delay(module, reset),
        recurrent=_recurrent(module) if kind.startswith("R") else None,
    )


def _require_plain(module: Any, name: str) -> None:
    """Refuse what changes spikes or state in ways that a core has not."""
    if module.inhibition:
        raise refuse(
            module,
            name,
            "inhibition lets only one neuron of the layer spike, which no core does",
            "Train without inhibition, or with inhibitory weights.",
        )
    if module.state_quant:
        raise refuse(
            module,
            name,
            "state_quant rounds the state otherwise than the core does",
            "Train without state_quant; CompileOptions.state_bits sets the core's format.",
        )
    if (to_array(module.graded_spikes_factor) != 1).any():
        raise refuse(
            module,
            name,
            "graded_spikes_factor must be 1: spikes carry no value",
            "Multiply the weights of the next layer by the factor instead.",
        )


def _reset(module: Any, name: str) -> Reset | None:
    """The mechanism; None for "none": no neuron here spikes without a reset, but all can be read.

    Forward takes it from two places, of which a loaded state dict or a later assignment changes
    but one.
    """
    bound = _RESETS.get(getattr(module.state_function, "__name__", ""))
    stored = _MECHANISMS[int(module.reset_mechanism_val)]
    if bound != stored:
        raise refuse(
            module,
            name,
            f"it was made with reset_mechanism={bound!r} and is now set to {stored!r}, and its "
            "forward uses some of each",
            "Make the module anew with the reset_mechanism that it shall have, and load its "
            "weights after that.",
        )
    return None if stored == "none" else "zero" if stored == "zero" else "subtract"


def _reset_delay(module: Any, reset: Reset) -> bool:
    """When a reset acts, which is not always what ``reset_delay`` says.

    ``Leaky`` resets to zero before the next input comes in, whatever its flag: an immediate reset.
    ``RSynaptic`` computes its immediate reset into a variable that it then drops.
    """
    kind = type(module).__name__
    if kind == "Leaky" and reset == "zero":
        return False
    return kind == "RSynaptic" or bool(module.reset_delay)


def _recurrent(module: Any) -> Any:
    """The recurrent layer, or with ``all_to_all=False`` its weight ``V`` for each neuron."""
    return module.recurrent if module.all_to_all else to_array(module.recurrent.V)


CELLS: Converters = dict.fromkeys(("Leaky", "Synaptic", "RLeaky", "RSynaptic"), _cells)
