"""Records of a device's memories, read back, and what they are by an image's names."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from spikewright.errors import LinkError
from spikewright.frames import Command
from spikewright.image import CoreImage
from spikewright.learned_image import with_learned
from spikewright.spec import CoreSpec, Region, index_width

from .protocol import Reply, Request
from .session import Session

__all__ = ["Readback", "Records", "read_requests", "records_in", "unpack_words"]

Array = npt.NDArray[np.int64]
Records = npt.NDArray[np.uint8]
"""``uint8[records, size]``."""

_WORD_FIELDS = {
    "weights": "weight",
    "delays": "delay",
    "plastic": "plastic",
    "eligibility": "eligibility",
}
"""Arrays of an image, and a weight word's fields behind them."""


class Readback:
    """Reads the memories of a device that does not run.

    Every method raises :class:`BoardError` if the device refuses, and :class:`LinkError` if it
    stops answering.

    Parameters
    ----------
    session : Session
    spec : CoreSpec
        The device's.
    max_payload : int
        The device's limit [bytes].
    """

    def __init__(self, session: Session, spec: CoreSpec, *, max_payload: int) -> None:
        self._session = session
        self._spec = spec
        self._max_payload = max_payload

    def records(
        self, region: Region, count: int, progress: Callable[[int], object] = lambda done: None
    ) -> Records:
        """Records 0 to ``count - 1``: ``uint8[count, size]``.

        ``progress`` is told how many bytes came so far.
        """
        spec = self._spec
        records = np.zeros((count, spec.memories[region].layout.size), np.uint8)
        requests = read_requests(spec, region, count, self._max_payload)
        for request, reply in self._session.exchange(requests):
            first, end = request.head["index"], request.head["index"] + request.head["count"]
            records[first:end] = records_in(spec, request, reply)
            progress(records[:end].size)
        return records

    def words(self, count: int) -> dict[str, Array]:
        """The first words of weights, as :func:`unpack_words` names what is in them."""
        return unpack_words(self._spec, self.records(Region.WEIGHTS, count))

    def state(self) -> dict[str, Array]:
        """State by name, ``int64[neurons]`` each."""
        return self._columns(Region.STATE, self._spec.neurons)

    def accumulators(self) -> Array:
        """Accumulators ``int64[delay_slots, neurons]``; timestep t consumes slot ``t % slots``."""
        spec = self._spec
        acc = self._columns(Region.ACCUMULATORS, spec.memories[Region.ACCUMULATORS].depth)["acc"]
        return acc.reshape(spec.delay_slots, 1 << index_width(spec.neurons))[:, : spec.neurons]

    def learned(self, image: CoreImage) -> CoreImage:
        """An image that the device holds, with what was learned since. Its spec is plastic."""
        spec = self._spec
        words = self.words(len(image.weights))
        random = 0
        if spec.stochastic_rounding:
            random = int(self._columns(Region.RANDOM, 1)["random"][0])
        return with_learned(
            image,
            weights=words["weights"],
            eligibility=words.get("eligibility"),
            h=self.state()["h"] if spec.adaptive_threshold else None,
            random=random,
        )

    def _columns(self, region: Region, count: int) -> dict[str, Array]:
        return self._spec.memories[region].layout.unpack(self.records(region, count))


def read_requests(
    spec: CoreSpec, region: Region, count: int, max_payload: int, *, first: int = 0
) -> Iterator[Request]:
    """READs of ``count`` records of a region from ``first`` on, as many as fit each reply."""
    size = spec.memories[region].layout.size
    step, end = max_payload // size, first + count
    for index in range(first, end, step):
        yield Request(Command.READ, region=region, index=index, count=min(step, end - index))


def records_in(spec: CoreSpec, request: Request, reply: Reply) -> Records:
    """The records ``uint8[count, size]`` that a READ asked for.

    Raises
    ------
    BoardError
        The device refused.
    LinkError
        They are not as many as asked for.
    """
    size = spec.memories[Region(request.head["region"])].layout.size
    data = reply.check().data
    if len(data) != request.head["count"] * size:
        raise LinkError(
            f"The device sent {len(data)} bytes for {request.head['count']} records of {size}.",
            hint="Flash the board with a bitstream of this version of Spikewright.",
        )
    return np.frombuffer(data, np.uint8).reshape(-1, size)


def unpack_words(spec: CoreSpec, records: Records) -> dict[str, Array]:
    """Weight words ``uint8[words, size]`` as arrays ``int64[words, lanes]``.

    ``weights`` and ``delays``; ``plastic`` and ``eligibility`` where the spec has them. If it is
    sparse, ``word_group`` too, ``int64[words]``.
    """
    columns = spec.memories[Region.WEIGHTS].layout.unpack(records)
    none = np.zeros(len(records), np.int64)
    columns = {f"delay{k}": none for k in range(spec.lanes)} | columns
    found = {
        name: np.stack([columns[f"{field}{k}"] for k in range(spec.lanes)], axis=1)
        for name, field in _WORD_FIELDS.items()
        if f"{field}0" in columns
    }
    return found | ({"word_group": columns["group"]} if spec.sparse else {})
