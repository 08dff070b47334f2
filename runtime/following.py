"""A run on a device, from its first request to its last reply."""

from collections.abc import Iterator

from spikewright.errors import LinkError
from spikewright.frames import Command

from .protocol import Request
from .session import Session
from .stream import RunStream

__all__ = ["follow"]


def follow(session: Session, stream: RunStream) -> Iterator[None]:
    """Do what a run asks for, stopping at each reply; leave no pace to who comes next.

    Raises
    ------
    BoardError
        The device refused.
    LinkError
        The device stopped answering or makes no sense, or the port vanished.
    """
    try:
        yield from _exchange(session, stream)
        if stream.is_paced:
            session.request(Request(Command.PACE, period=0))
    except LinkError as error:
        raise (_lost_while_learning(error) if stream.learns else error) from None


def _exchange(session: Session, stream: RunStream) -> Iterator[None]:
    progress = None
    while not stream.is_finished:
        if progress == stream.progress:
            raise LinkError(
                f"The device on {session.link.port} pauses although it has no spikes to read.",
                hint="Reset the board and load the image again.",
            )
        progress = stream.progress
        for request, reply in session.exchange(stream.requests()):
            stream.take(request, reply)
            yield


def _lost_while_learning(error: LinkError) -> LinkError:
    return LinkError(
        error.what,
        reasons=error.reasons,
        hint="What the core learned is still in the board unless it loses power: connect again, "
        "call attach(image), and read it back with learned_image().",
    )
