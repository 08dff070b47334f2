"""The task and what was learned for it, drawn."""

import io

import numpy as np
import numpy.typing as npt
from ears import FREQUENCIES, LAGS, Sounds
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["draw_picture", "interval_weights"]

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_LEFT, _RIGHT = "tab:blue", "tab:orange"


def interval_weights(weight: Array, delay: Ints, slots: int) -> Array:
    """How strongly each hidden neuron waits for each lag.

    A neuron whose synapse from the left ear has delay a and that from the right ear delay b gets
    both spikes at once where the right ear is ``a - b`` late. That pair counts as the smaller of
    its weights, and not where one is negative.

    Parameters
    ----------
    weight, delay : float64[hidden, 16], int64[hidden, 16]
    slots : int
        Delays are below it.

    Returns
    -------
    float64[hidden, 2 * slots - 1]
        Sums over the frequencies, for lags ``1 - slots`` to ``slots - 1``.
    """
    left, right = np.split(weight, 2, axis=1)
    strength = np.minimum(left, right).clip(0)
    lag = delay[:, :FREQUENCIES] - delay[:, FREQUENCIES:]
    hidden, frequency = np.indices(lag.shape)
    sums = np.zeros((len(weight), 2 * slots - 1))
    np.add.at(sums, (hidden, lag + slots - 1), strength[hidden, frequency])
    return sums


def draw_picture(sounds: Sounds, weight: Array, delay: Ints, slots: int) -> bytes:
    """A sound of each class above the learned delays and the lags that they make up for, as PNG.

    Parameters
    ----------
    sounds : Sounds
        The first of each class is drawn.
    weight, delay, slots
        As in :func:`interval_weights`.
    """
    figure = Figure(figsize=(13, 6.5), layout="constrained")
    above, below = figure.subfigures(2, squeeze=False, height_ratios=[1, 1.4])[:, 0]
    axes = above.subplots(1, len(LAGS), sharey=True)
    for k, axis in enumerate(axes):
        _draw_sound(axis, sounds.spikes[np.flatnonzero(sounds.labels == k)[0]], LAGS[k])
    axes[0].set_ylabel("frequency, left ear in blue")
    delays, lags = below.subplots(1, 2)
    sums = interval_weights(weight, delay, slots)
    order = np.argsort(sums.argmax(axis=1))
    shown = delays.imshow(delay[order], aspect="auto", interpolation="none")
    delays.axvline(FREQUENCIES - 0.5, color="white")
    delays.set(xlabel="axon: left ear, right ear", ylabel="hidden neuron, by its strongest lag")
    delays.set(title="learned delays of synapses")
    figure.colorbar(shown, ax=delays, label="timesteps")
    lags.bar(np.arange(1 - slots, slots), sums.sum(axis=0), color="tab:gray")
    for lag in LAGS:
        lags.axvline(lag, color="tab:red", linestyle="--", linewidth=1)
    lags.set(xlabel="delay from the left less that from the right ear [timesteps]")
    lags.set(
        ylabel="weight of such pairs", title="lags that neurons wait for; dashed: the classes'"
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _draw_sound(axis: Axes, spikes: npt.NDArray[np.bool_], lag: int) -> None:
    """Spikes of both ears, those of a frequency one above the other."""
    for ear, (color, shift) in enumerate(((_LEFT, 0.2), (_RIGHT, -0.2))):
        t, frequency = np.nonzero(spikes[:, ear * FREQUENCIES : (ear + 1) * FREQUENCIES])
        axis.vlines(t, frequency + shift - 0.17, frequency + shift + 0.17, color=color, linewidth=2)
    late = "right" if lag > 0 else "left"
    axis.set(title=f"{late} ear {abs(lag)} late", xlabel="timestep", xlim=(-1, len(spikes)))
