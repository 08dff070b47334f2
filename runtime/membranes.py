"""Membrane potentials that are read after each timestep of a run."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from spikewright.errors import SpikewrightError
from spikewright.frames import CRC_SIZE, REPLY, REQUEST, REQUEST_PAYLOADS, Command
from spikewright.image import CoreImage
from spikewright.spec import Region

from .protocol import Reply, Request
from .readback import read_requests, records_in

__all__ = ["Membranes"]

_READ_BYTES = REQUEST.size + REQUEST_PAYLOADS[Command.READ].size + REPLY.size + 2 * (CRC_SIZE + 2)
"""What one more READ costs on the line [bytes]; records between two that are wanted may cost it."""


class Membranes:
    """Asks for the potentials of neurons after each timestep, and keeps them.

    Parameters
    ----------
    image : CoreImage
        What the device holds.
    neurons : sequence of int, optional
        Whose; by default those of all that are updated.
    timesteps : int
    max_payload : int
        The device's limit [bytes].

    Attributes
    ----------
    v : int32[timesteps, neurons]
        Of the neurons given, in that order, or of every neuron slot of the spec.
    whole : int
        Timesteps, from the first, whose potentials are all there.

    Raises
    ------
    SpikewrightError
        Neurons that the spec has not.
    """

    def __init__(
        self,
        image: CoreImage,
        neurons: Sequence[int] | None,
        *,
        timesteps: int,
        max_payload: int,
    ) -> None:
        self.whole = 0
        self._spec = image.spec
        self._max_payload = max_payload
        if neurons is None:
            self._wanted = np.arange(image.spec.neurons)
            self._spans = [(0, image.groups_used * image.spec.lanes)]
        else:
            self._wanted = self._numbers(neurons)
            self._spans = self._join(self._wanted)
        self._last = self._spans[-1]
        self._now = np.zeros(image.spec.neurons, np.int32)
        self.v = np.zeros((timesteps, len(self._wanted)), np.int32)

    def _numbers(self, neurons: Sequence[int]) -> npt.NDArray[np.int64]:
        """The neurons asked for, if the spec has them. Raises :class:`SpikewrightError`."""
        given = np.asarray(neurons)
        is_list = given.ndim == 1 and given.size and given.dtype.kind in "iu"
        if not is_list or given.min() < 0 or given.max() >= self._spec.neurons:
            raise SpikewrightError(
                f"Recorded membranes must be of neurons 0 to {self._spec.neurons - 1}, "
                f"not {given.tolist()!r:.80}.",
                hint="Give numbers of the core's neurons, one at least; or True for all.",
            )
        return given.astype(np.int64)

    def _join(self, neurons: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
        """First records and counts of what to read, neighbours together."""
        size = self._spec.memories[Region.STATE].layout.size
        places = np.unique(neurons)
        parts = np.split(places, np.flatnonzero((np.diff(places) - 1) * size > _READ_BYTES) + 1)
        return [(int(part[0]), int(part[-1] - part[0]) + 1) for part in parts]

    def requests(self) -> Iterator[Request]:
        """What to ask after a timestep."""
        for first, count in self._spans:
            yield from read_requests(
                self._spec, Region.STATE, count, self._max_payload, first=first
            )

    def take(self, request: Request, reply: Reply, ran: int) -> None:
        """Take in the reply to one of :meth:`requests`, after so many timesteps.

        Raises
        ------
        BoardError, LinkError
            As :func:`.readback.records_in`.
        """
        first, count = request.head["index"], request.head["count"]
        records = records_in(self._spec, request, reply)
        layout = self._spec.memories[Region.STATE].layout
        self._now[first : first + count] = layout.unpack(records)["v"]
        if first + count == sum(self._last) and ran:
            self.v[ran - 1] = self._now[self._wanted]
            self.whole = ran
