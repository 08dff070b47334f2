"""When paced timesteps begin: the timer of the byte-level device, in time of its own."""

from spikewright.frames import MOST_MISSED

__all__ = ["Timeline", "TimelineClock"]


class Timeline:
    """The timer as the frame table has it, and a time in which only timesteps take any.

    Attributes
    ----------
    time : int
        Now [cycles]. Whoever drives the device may let it go on.
    period : int
        Between ticks [cycles]; 0: timesteps are run on demand.
    """

    def __init__(self) -> None:
        self.time = 0
        self.period = 0
        self._began: int | None = None  # the last timestep; None: the next begins a timeline

    def pace(self, period: int) -> None:
        """Have a period from now on, and begin anew."""
        self.period = period
        self.restart()

    def restart(self) -> None:
        """Let the next timestep begin a timeline."""
        self._began = None

    def begin(self) -> int:
        """Wait until the next timestep may begin; how many ticks were missed before it."""
        if not self.period:
            return 0
        missed = 0
        if self._began is not None:
            ticks = max(1, -(-(self.time - self._began) // self.period))
            missed = min(ticks - 1, MOST_MISSED)
            if missed < MOST_MISSED:
                self.time = self._began + ticks * self.period
        self._began = self.time
        return missed


class TimelineClock:
    """Lets the time of a timeline follow that of a line.

    Parameters
    ----------
    timeline : Timeline
    clock_hz : float
    """

    def __init__(self, timeline: Timeline, clock_hz: float) -> None:
        self._timeline = timeline
        self._clock_hz = clock_hz
        self._idle = timeline.time

    def arrive(self, time_s: float) -> None:
        """Something comes at a time on the line: the device waited for it, or is late itself."""
        waited = max(0, round(time_s * self._clock_hz) - self._timeline.time)
        self._timeline.time += waited
        self._idle += waited

    @property
    def work_s(self) -> float:
        """Time in which the device did not wait for the line [s]."""
        return (self._timeline.time - self._idle) / self._clock_hz
