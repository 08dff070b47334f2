"""Neurons of Sinabs: exact decays ``exp(-1/tau)``, a spike where v is *at least* the threshold.

Read off Sinabs 2.0.3 and 3.1.3. Its NIR export says nothing of resets, of the synapse, of
``norm_input`` and of the number of spikes a timestep.
"""

from typing import Any

import numpy as np

from .options import Reset
from .torch_cells import Cells, Converters, refuse, to_array

__all__ = ["CELLS"]


def _cells(module: Any, name: str) -> Cells:
    """LIF, IAF and ExpLeak: ``i <- a_syn (i + x)``, ``v <- a_mem v + [1 - a_mem] i``.

    Raises
    ------
    ModelError
        Several spikes a timestep, ``min_v_mem``, or resets that no core does.
    """
    if module.min_v_mem is not None:
        raise refuse(
            module,
            name,
            "min_v_mem must be None: a core's membrane has no such bound",
            "Train with min_v_mem=None.",
        )
    spikes = module.spike_fn is not None
    leaks = not type(module).__name__.startswith("IAF")
    a_mem = to_array(module.alpha_mem_calculated) if leaks else np.ones(())
    a_syn = module.alpha_syn_calculated
    gain = 1 - a_mem if module.norm_input else np.ones(())
    if a_syn is not None:
        a_syn = to_array(a_syn)
        gain = gain * a_syn
    return Cells(
        a_mem=a_mem,
        a_syn=a_syn,
        gain=gain,
        v_threshold=to_array(module.spike_threshold) if spikes else None,
        strict=False,
        v_leak=np.zeros(()),
        v_reset=np.zeros(()),
        reset=_reset(module, name) if spikes else None,
        reset_delay=False if spikes else None,
        batch_axes=1 if type(module).__name__.endswith("Squeeze") else 2,
    )


def _reset(module: Any, name: str) -> Reset:
    """What ``reset_fn`` does, where that is to subtract the threshold or to lead to 0.

    ``MembraneReset`` adds its ``reset_value`` in every timestep, so it must be 0.
    """
    fires = getattr(module.spike_fn, "__name__", type(module.spike_fn).__name__)
    if fires != "SingleSpike":
        raise refuse(
            module,
            name,
            f"spike_fn must be SingleSpike, not {fires}: a neuron spikes once a timestep",
            "Train with spike_fn=sinabs.activation.SingleSpike.",
        )
    how = type(module.reset_fn).__name__
    if how == "MembraneSubtract" and module.reset_fn.subtract_value is None:
        return "subtract"
    if how == "MembraneReset" and module.reset_fn.reset_value == 0:
        return "zero"
    raise refuse(
        module,
        name,
        f"reset_fn must be MembraneSubtract() or MembraneReset(0), not {module.reset_fn}",
        "Train with one of these two.",
    )


CELLS: Converters = dict.fromkeys(
    ("LIF", "LIFSqueeze", "IAF", "IAFSqueeze", "ExpLeak", "ExpLeakSqueeze"), _cells
)
