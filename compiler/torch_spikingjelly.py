"""Neurons of SpikingJelly: a spike where v is *at least* the threshold, then a reset at once.

Read off SpikingJelly 2.0.0. Its NIR export refuses soft resets, which a core does.
"""

from typing import Any

import numpy as np

from .torch_cells import Array, Cells, Converters, refuse, to_array

__all__ = ["CELLS"]


def _if(module: Any, name: str) -> Cells:
    return _cells(module, name, a_mem=np.ones(()), gain=np.ones(()))


def _lif(module: Any, name: str) -> Cells:
    """``tau`` in timesteps; the membrane leaks to ``v_reset``."""
    return _leaky(module, name, 1 / to_array(module.tau))


def _parametric(module: Any, name: str) -> Cells:
    """``1/tau`` is the sigmoid of a learnt ``w``."""
    return _leaky(module, name, to_array(module.w.sigmoid()))


def _leaky(module: Any, name: str, leak: Array) -> Cells:
    gain = leak if module.decay_input else np.ones(())
    return _cells(module, name, a_mem=1 - leak, gain=gain, leaks_to_reset=True)


def _cuba(module: Any, name: str) -> Cells:
    """``c_decay`` and ``v_decay`` are what is kept."""
    a_mem, a_syn = to_array(module.v_decay), to_array(module.c_decay)
    return _cells(module, name, a_mem=a_mem, a_syn=a_syn, gain=np.ones(()))


def _cells(
    module: Any,
    name: str,
    *,
    a_mem: Array,
    gain: Array,
    a_syn: Array | None = None,
    leaks_to_reset: bool = False,
) -> Cells:
    """What all its neurons share.

    Raises
    ------
    ModelError
        A surrogate that is not spiking, or a membrane that starts elsewhere than it leaks to.
    """
    if not getattr(module.surrogate_function, "spiking", True):
        raise refuse(
            module,
            name,
            "its surrogate_function has spiking=False and gives no spikes",
            "Set spiking=True.",
        )
    soft = module.v_reset is None
    v_reset = to_array(0.0 if soft else module.v_reset)
    if v_reset != 0 and not leaks_to_reset:
        raise refuse(
            module,
            name,
            f"v_reset must be 0 or None, not {v_reset:g}: v starts there but leaks to 0",
            "Shift threshold and biases so that v_reset is 0.",
        )
    return Cells(
        a_mem=a_mem,
        a_syn=a_syn,
        gain=gain,
        v_threshold=to_array(module.v_threshold),
        strict=False,
        v_leak=v_reset,
        v_reset=v_reset,
        reset="subtract" if soft else "zero",
        reset_delay=False,
        batch_axes=2 if module.step_mode == "m" else 1,
    )


CELLS: Converters = {
    "IFNode": _if,
    "LIFNode": _lif,
    "ParametricLIFNode": _parametric,
    "CUBALIFNode": _cuba,
}
