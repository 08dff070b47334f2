"""A windowed exchange of requests and replies that loses nothing and does nothing twice."""

import secrets
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from spikewright.errors import LinkError
from spikewright.frames import BITS_A_BYTE, SEQUENCES, Command, LinkSpec, Status

from .link import Link, encode_frame
from .protocol import Hello, Reply, Request, parse_reply

__all__ = ["Session"]

_ATTEMPTS = 6
"""Times that a request is sent without any sign of it before the device counts as gone."""
_LONGEST_RETRY_S = 2.0
_SLOWEST_CLOCK_HZ = 1_000_000
"""No device is expected to be slower; a simulated one on a busy machine may come near."""


@dataclass(slots=True)
class _Pending:
    """A request under way."""

    request: Request
    sequence: int
    frame: bytes
    reply: Reply | None = None

    def fits(self, reply: Reply) -> bool:
        """Whether a reply is to this request; one of another session has another number."""
        return reply.sequence == self.sequence and reply.command is self.request.command


class Session:
    """Numbered requests, each executed once and in order, whatever the line does to frames.

    Up to a window of requests is under way. Requests are sent again when a later one was answered
    first, when the device says that it missed one, or when no reply comes in time; by the sequence
    number the device knows what it did already. If an exchange was left with requests under way,
    the next one opens a new session.

    Parameters
    ----------
    link : Link
    retry_s : float
        Time to wait for a reply beyond what the line and the device need for it [s]; doubled with
        each attempt, up to 2 s.

    Attributes
    ----------
    retransmissions, stale : int
        Requests sent again, and whole frames dropped because they answered nothing under way.
    is_alone : bool
        No other host used the device, and it was not reset, between the sessions since this was
        set. At first it is not.
    slowest_s : float
        The longest wait for the oldest reply under way so far, in vain or not.
    """

    def __init__(self, link: Link, *, retry_s: float = 0.25) -> None:
        self.link = link
        self.retransmissions = 0
        self.stale = 0
        self.is_alone = False
        self.slowest_s = 0.0
        self._retry_s = retry_s
        self._limits: Hello | LinkSpec = LinkSpec()
        self._is_open = False
        self._first = 0  # number of the session's first request
        self._sequence = 0  # of the next one
        self._window: deque[_Pending] = deque()

    def open(self) -> Hello:
        """Open a session, whatever went on before.

        Raises
        ------
        LinkError
            No answer, bytes that are no frames, or a device of another protocol version.
        """
        self._is_open = False
        oldest = self._window[0].sequence if self._window else self._sequence
        unknown = (self._sequence - oldest) % SEQUENCES  # requests that may have been done or not
        was_alone, self.is_alone = self.is_alone, False
        self._window.clear()
        self._sequence = opening = secrets.randbelow(SEQUENCES)
        self._window.append(self._number(Request(Command.HELLO)))
        self._transmit()
        hello = Hello.of(self._settle().check())
        self._window.clear()
        self.is_alone = was_alone and (hello.first - opening - oldest) % SEQUENCES <= unknown
        self._limits = hello
        self._first = self._sequence = hello.first
        self._is_open = True
        return hello

    @property
    def is_open(self) -> bool:
        """Whether the next request goes on with this session; if not, it opens another."""
        return self._is_open

    def request(self, request: Request) -> Reply:
        """Do one request. Raises :class:`BoardError` unless its status is OK, and ``LinkError``."""
        ((_, reply),) = self.exchange([request])
        return reply.check()

    def exchange(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Reply]]:
        """Do requests and yield each with its reply, in order, whatever the status.

        Requests are drawn as there is room for them: a generator can react to replies.

        Raises
        ------
        LinkError
            The device stopped answering, or the port vanished.
        """
        if not self._is_open:
            self.open()
        self._is_open = False
        source = (self._number(request) for request in requests)
        drawn = next(source, None)
        while drawn or self._window:
            while drawn and self._has_room(len(drawn.frame)):
                self._window.append(drawn)
                self.link.send(drawn.frame)
                drawn = next(source, None)
            reply = self._settle()
            yield self._window.popleft().request, reply
        self._is_open = True

    def _number(self, request: Request) -> _Pending:
        sequence = self._sequence
        self._sequence = (sequence + 1) % SEQUENCES
        return _Pending(request, sequence, encode_frame(request.body(sequence)))

    def _has_room(self, size: int) -> bool:
        """Whether the device can buffer ``size`` more bytes on top of what is under way."""
        under_way = sum(len(pending.frame) for pending in self._window)
        room = self._limits.window * self._limits.max_payload - under_way
        return not self._window or (len(self._window) < self._limits.window and size <= room)

    def _transmit(self, before: _Pending | None = None) -> None:
        """Send what has no reply yet; only what is older than ``before``, if given.

        The zero in front ends whatever an interrupted host or a damaged frame left open.
        """
        frames = []
        for pending in self._window:
            if pending is before:
                break
            if pending.reply is None:
                frames.append(pending.frame)
        self.link.send(b"\0" + b"".join(frames))

    def _retransmit(self, before: _Pending | None = None) -> None:
        self.retransmissions += 1
        self._transmit(before)

    def _settle(self) -> Reply:
        """Wait for the reply to the oldest request under way, keeping those to others."""
        began = self.link.now()
        try:
            return self._wait_for(self._window[0])
        finally:
            self.slowest_s = max(self.slowest_s, self.link.now() - began)

    def _wait_for(self, oldest: _Pending) -> Reply:
        attempts, went_back = 1, False
        deadline = self.link.now() + self._patience_s(attempts, oldest.request)
        while oldest.reply is None:
            wait_s = deadline - self.link.now()
            body = self.link.receive(wait_s) if wait_s > 0 else None
            if body is None:
                if attempts == _ATTEMPTS:
                    raise self._silence(oldest.request.command)
                attempts += 1
                went_back = False
                self._retransmit()
            elif (pending := self._accept(body)) is None:
                continue
            elif not went_back and oldest.reply is None:
                # Either the device missed a request, or the reply to an earlier one got lost.
                # Once is enough: all that were sent meanwhile bring the same news.
                went_back = True
                self._retransmit(pending if pending.reply else None)
            elif pending.reply is None:
                continue
            deadline = self.link.now() + self._patience_s(attempts, oldest.request)
        return oldest.reply

    def _accept(self, body: bytes) -> _Pending | None:
        """The request under way that a frame answers or was OUT_OF_ORDER for, if any."""
        reply = parse_reply(body)
        for pending in self._window:
            if reply is None or pending.reply is not None:
                continue
            if reply.status is Status.OUT_OF_ORDER and reply.sequence == pending.sequence:
                if pending.request.command is not Command.HELLO:
                    self._check_expected(int.from_bytes(reply.data, "little"))
                return pending
            if pending.fits(reply):
                pending.reply = reply
                return pending
        self.stale += 1
        return None

    def _check_expected(self, sequence: int) -> None:
        """See that the device, which refused a request, expects one of this session."""
        numbers = (self._sequence - self._first) % SEQUENCES
        if (sequence - self._first) % SEQUENCES > numbers:
            raise LinkError(
                f"The device on {self.link.port} left this session: another host opened one, or "
                "it was reset.",
                hint="Use the port from one host only, and load the image again.",
            )

    def limit_s(self, request: Request) -> float:
        """The longest wait for a reply, before :class:`LinkError` [s].

        Each attempt lasts its time, once more if there was news of the request, and the last once
        more for each other reply under way. Reading a serial port may take 20 ms more.
        """
        waits = [self._patience_s(attempt, request) for attempt in range(1, _ATTEMPTS + 1)]
        return 2 * sum(waits) + (self._limits.window - 1) * waits[-1]

    def _patience_s(self, attempts: int, request: Request) -> float:
        """Time until the device must have answered a request, at an attempt."""
        line = 2 * BITS_A_BYTE * self._limits.window * self._limits.max_payload / self.link.baud_hz
        work = request.cycles / _SLOWEST_CLOCK_HZ
        return min(self._retry_s * 2.0 ** (attempts - 1), _LONGEST_RETRY_S) + line + work

    def _silence(self, command: Command) -> LinkError:
        link = self.link
        if command is not Command.HELLO:
            return LinkError(
                f"The device on {link.port} stopped answering: no reply to {command.name}.",
                hint="Reset the board and load the image again.",
            )
        if not link.bytes_in:
            return LinkError(
                f"No answer on {link.port} at {link.baud_hz} baud.",
                hint="Is it the board's port, and does the board hold a Spikewright bitstream?",
            )
        return LinkError(
            f"No answer on {link.port} at {link.baud_hz} baud, only noise "
            f"({link.bytes_in} bytes, {link.damaged} damaged frames).",
            hint="Give the baud rate that the board was built for, as in /dev/ttyUSB1@115200.",
        )
