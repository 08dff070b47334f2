"""An image on its way into a device: what fits, the requests of a load, and what it left there."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from fastcrc import crc32

from spikewright.errors import BoardError, SpecError
from spikewright.frames import ID_SIZE, REQUEST_PAYLOADS, Command, payload_needed
from spikewright.image import CoreImage
from spikewright.spec import CoreSpec

from .protocol import Hello, Request

__all__ = ["WRITE_HEAD", "check_fit", "check_held", "load_requests", "weights_fault"]

WRITE_HEAD = REQUEST_PAYLOADS[Command.WRITE].size
"""Bytes of a WRITE's payload before its records."""

_HASH_DIGITS = 2 * ID_SIZE


def check_fit(spec: CoreSpec, hello: Hello, port: str) -> None:
    """Check that a device can hold images of a spec.

    Raises
    ------
    SpecError
        It has another spec.
    BoardError
        Its frames are too short for the spec's records.
    """
    wanted = spec.hash[:_HASH_DIGITS]
    if hello.spec_hash != wanted:
        raise SpecError(
            f"The image is for spec {wanted}, the board on {port} has spec "
            f"{hello.spec_hash}; nothing was sent.",
            hint="Compile the network for the board's spec, or flash the image's spec.",
        )
    needed = payload_needed(spec)
    if needed > hello.max_payload:
        raise BoardError(
            f"The board's frames carry {hello.max_payload} bytes, a record of this spec needs "
            f"{needed}.",
            hint="Build the board with a longer max_payload.",
        )


def check_held(image: CoreImage, hello: Hello, port: str) -> None:
    """Check that a device holds an image. Raises :class:`BoardError`."""
    if hello.image_id != image.id[:_HASH_DIGITS]:
        held = f"image {hello.image_id}" if hello.image_id else "no valid image"
        raise BoardError(
            f"The board on {port} holds {held}, not {image.id[:_HASH_DIGITS]}: "
            "what it learned from that is lost.",
            hint="It lost power, or was loaded since. Load the image, or the last snapshot, "
            "and learn again.",
        )


def load_requests(image: CoreImage, max_payload: int) -> Iterator[Request]:
    """A whole load, from BEGIN to COMMIT; the digest grows with what is drawn."""
    yield Request(Command.BEGIN)
    crc = byte_count = 0
    for region, records in image.records.items():
        step = (max_payload - WRITE_HEAD) // records.shape[1]
        for index in range(0, len(records), step):
            data = records[index : index + step].tobytes()
            request = Request(Command.WRITE, data, region=region, index=index)
            crc = crc32.iscsi(request.payload, crc)
            byte_count += len(request.payload)
            yield request
    image_id = int.from_bytes(bytes.fromhex(image.id)[:ID_SIZE], "little")
    yield Request(
        Command.COMMIT,
        cycles=image.spec.clear_cycles,
        image_id=image_id,
        byte_count=byte_count,
        crc=crc,
    )


def weights_fault(read: npt.NDArray[np.uint8], wanted: npt.NDArray[np.uint8]) -> BoardError | None:
    """What to raise if weight words ``uint8[words, size]`` read back are not those written."""
    wrong = np.flatnonzero((read != wanted).any(axis=1))
    if not wrong.size:
        return None
    w = int(wrong[0])
    return BoardError(
        f"{wrong.size} of {len(wanted)} weight words read back wrong, first word {w}: "
        f"{read[w].tobytes().hex()}, not {wanted[w].tobytes().hex()}.",
        hint="Load again; if it stays so, the bitstream may be too fast for the board.",
    )
