"""Timesteps paced by the device's timer: what of a period a run has to know."""

from dataclasses import dataclass
from numbers import Real

from spikewright.errors import SpikewrightError
from spikewright.frames import PERIOD_S

from .protocol import Hello

__all__ = ["Pace", "check_period"]

_AHEAD_S = 0.05
"""Timesteps under way at a time, about [s]: a host that is late by less misses no tick."""


@dataclass(frozen=True, slots=True)
class Pace:
    """A period in a device's cycles.

    Attributes
    ----------
    period : int
        Between ticks [cycles].
    run_timesteps : int
        Timesteps that share a request. Their spikes come together, so few; but a window of such
        requests has to last while the host is away.
    """

    period: int
    run_timesteps: int

    @classmethod
    def of(cls, period_s: float, device: Hello) -> "Pace":
        """The pace of that period on a device.

        Raises
        ------
        SpikewrightError
            A period out of ``frames.PERIOD_S``, or not a whole number of the device's cycles.
        """
        check_period(period_s)
        cycles = period_s * device.clock_hz
        period = round(cycles)
        if abs(cycles - period) > 1e-6:
            raise SpikewrightError(
                f"The period must be a whole number of cycles of {device.clock_hz} Hz, "
                f"not {_us(period_s)}, which are {cycles:.14g}.",
                hint=f"The nearest is {_us(period / device.clock_hz)}.",
            )
        return cls(period, max(1, round(_AHEAD_S / device.window / period_s)))


def check_period(period_s: float) -> None:
    """Check that a device may have that period. Raises :class:`SpikewrightError`."""
    shortest, longest = PERIOD_S
    is_number = isinstance(period_s, Real)
    if not is_number or not shortest <= period_s <= longest:
        given = f"{_us(period_s)} ({period_s!r} s)" if is_number else f"{period_s!r:.40}"
        raise SpikewrightError(
            f"The period must be in [{_us(shortest)}, {_us(longest)}], not {given}.",
            hint="Without a period timesteps are run on demand, as fast as they can be.",
        )


def _us(period_s: float) -> str:
    return f"{1e6 * period_s:.12g} us"
