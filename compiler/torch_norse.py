"""Neurons of Norse: Euler steps of its own ``dt``, after which v is reset at once.

Read off Norse 1.1.0. Its NIR export says nothing of resets and loses the gain of the current
(``w_in``) and, for IAF, the timestep.
"""

from typing import Any

import numpy as np

from .torch_cells import Array, Cells, Converters, refuse, to_array

__all__ = ["CELLS"]


def _leak(module: Any, name: str, field: str) -> Array:
    """``dt / tau`` of a time constant, of which Norse stores the inverse [1/s]."""
    leak: Array = module.dt * to_array(getattr(module.p, field))
    if (leak <= 0).any() or (leak > 1).any():
        raise refuse(
            module,
            name,
            f"{field} must be above 0 and at most 1/dt = {1 / module.dt:g}, not "
            f"{to_array(getattr(module.p, field)).max():g}",
            "Correct it, or run the module with a shorter dt.",
        )
    return leak


def _lif(module: Any, name: str) -> Cells:
    """LIF and LIFCell: the current takes the input whole, and decays after v has used it."""
    return _spiking(module, name, "value", a_syn=1 - _leak(module, name, "tau_syn_inv"))


def _lif_box(module: Any, name: str) -> Cells:
    """LIFBoxCell: no synapse, and a choice of resets."""
    how = module.p.reset_method.__name__
    return _spiking(module, name, how.removeprefix("reset_"), a_syn=None)


def _spiking(module: Any, name: str, how: str, a_syn: Array | None) -> Cells:
    if how not in ("value", "subtract"):
        raise refuse(
            module,
            name,
            f"reset_method must be reset_value or reset_subtract, not {how!r}",
            "Train with one of these two.",
        )
    leak = _leak(module, name, "tau_mem_inv")
    return Cells(
        a_mem=1 - leak,
        a_syn=a_syn,
        gain=leak,
        v_threshold=to_array(module.p.v_th),
        v_leak=to_array(module.p.v_leak),
        v_reset=to_array(module.p.v_reset) if how == "value" else np.zeros(()),
        reset="zero" if how == "value" else "subtract",
        reset_delay=False,
        batch_axes=_batch_axes(module),
        dt=module.dt,
    )


def _iaf(module: Any, name: str) -> Cells:
    """IAF and IAFCell: v takes the input whole and keeps all of it."""
    return Cells(
        a_mem=np.ones(()),
        gain=np.ones(()),
        v_threshold=to_array(module.p.v_th),
        v_leak=np.zeros(()),
        v_reset=to_array(module.p.v_reset),
        reset="zero",
        reset_delay=False,
        batch_axes=_batch_axes(module),
        dt=module.dt,
    )


def _li_box(module: Any, name: str) -> Cells:
    """LIBoxCell: a membrane to read."""
    leak = _leak(module, name, "tau_mem_inv")
    return Cells(
        a_mem=1 - leak,
        gain=leak,
        v_threshold=None,
        v_leak=to_array(module.p.v_leak),
        v_reset=np.zeros(()),
        dt=module.dt,
    )


def _batch_axes(module: Any) -> int:
    """A cell gets one timestep, [batch, ...]; the module around it [time, batch, ...]."""
    return 1 if type(module).__name__.endswith("Cell") else 2


CELLS: Converters = {
    "LIF": _lif,
    "LIFCell": _lif,
    "LIFBoxCell": _lif_box,
    "IAF": _iaf,
    "IAFCell": _iaf,
    "LIBoxCell": _li_box,
}
