import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from faulty import FaultyLine, Rates

from spikewright.errors import BoardError, LinkError
from spikewright.frames import Command, LinkSpec, Status
from spikewright.runtime.link import Link, decode_frame, encode_frame
from spikewright.runtime.protocol import Reply, Request, parse_reply
from spikewright.runtime.session import Session
from spikewright.sim.device_model import Answer, DeviceModel
from spikewright.sim.line import SimulatedPort
from spikewright.sim.terminal import Line, Terminal
from spikewright.spec import CoreSpec, Region

SPEC = CoreSpec(axons=3, neurons=2048, lanes=1, weight_words=64)
BAUD = 4_000_000
RETRY_S = 0.01
PATIENT_S = 2.0
"""Longer than any pause of a busy machine."""


class Log(DeviceModel):
    """Remembers what it executed."""

    def __init__(self, link: LinkSpec | None = None) -> None:
        super().__init__(SPEC, link)
        self.done: list[tuple[int, bytes]] = []

    def _do(self, code: int, payload: bytes) -> Answer:
        self.done.append((code, payload))
        return super()._do(code, payload)


@contextmanager
def session(line: Line, retry_s: float = RETRY_S) -> Iterator[Session]:
    with Terminal(line) as port, Link(port.path, baud_hz=BAUD) as link:
        yield Session(link, retry_s=retry_s)


def records(count: int) -> list[Request]:
    """Requests that can be told apart."""
    return [Request(Command.RECORD, first_group=n, group_count=1) for n in range(count)]


def in_order(device: Log, requests: list[Request]) -> bool:
    done = [item for item in device.done if item[0] != Command.HELLO]
    return done == [(request.command, request.payload) for request in requests]


@pytest.mark.parametrize("window", [2, 8, 64])
def test_each_request_is_done_once_and_answered_in_order(window: int) -> None:
    device = Log(LinkSpec(window=window, max_payload=64))
    requests = records(600)
    with session(device, retry_s=PATIENT_S) as host:
        answered = [request for request, _ in host.exchange(requests)]
    assert answered == requests
    assert in_order(device, requests)
    assert (host.retransmissions, host.stale) == (0, 0)


@pytest.mark.parametrize("window", [2, 16])
@pytest.mark.parametrize(
    "rates",
    [
        Rates(flip=0.005),
        Rates(drop=0.005),
        Rates(double=0.005),
        Rates(lose=0.1),
        Rates(repeat=0.2),
        Rates(junk=0.1),
        Rates(late=0.2),
        Rates.all(0.03),
    ],
    ids=str,
)
def test_faults_change_nothing(rates: Rates, window: int) -> None:
    device = Log(LinkSpec(window=window, max_payload=64))
    line = FaultyLine(device, rates, seed=window)
    requests = records(300)
    with session(line) as host:
        answered = list(host.exchange(requests))
    assert [request for request, _ in answered] == requests
    assert all(reply.status is Status.OK for _, reply in answered)
    assert in_order(device, requests)
    assert line.faults > 5


class Lossy:
    """Loses the frames to the device, or from it, whose numbers are given."""

    is_active = False

    def __init__(
        self, line: Line, *, requests: tuple[int, ...] = (), replies: tuple[int, ...] = ()
    ) -> None:
        self.line = line
        self.lose_requests, self.lose_replies = requests, replies
        self.requests = self.replies = 0
        self.open = b""

    def exchange(self, data: bytes) -> bytes:
        *frames, self.open = (self.open + data).split(b"\0")
        back = b""
        for frame in filter(None, frames):
            self.requests += 1
            if self.requests - 1 in self.lose_requests:
                continue
            reply = self.line.exchange(frame + b"\0")
            self.replies += 1
            if self.replies - 1 not in self.lose_replies:
                back += reply
        return back


@pytest.mark.parametrize("lost", range(12))
def test_one_lost_request_costs_one_retransmission(lost: int) -> None:
    device = Log()
    line = Lossy(device, requests=(lost,))
    requests = records(10)
    start = time.monotonic()
    with session(line, retry_s=PATIENT_S if 0 < lost < 10 else 0.5) as host:
        assert len(list(host.exchange(requests))) == 10
        assert time.monotonic() - start < PATIENT_S  # later ones tell, not the time
        assert host.retransmissions == (lost < 11)  # the first is HELLO, a twelfth there is not
    assert in_order(device, requests)


@pytest.mark.parametrize("lost", range(12))
def test_one_lost_reply_costs_one_retransmission(lost: int) -> None:
    device = Log()
    line = Lossy(device, replies=(lost,))
    requests = records(10)
    start = time.monotonic()
    with session(line, retry_s=PATIENT_S if 0 < lost < 10 else 0.5) as host:
        assert len(list(host.exchange(requests))) == 10
        assert time.monotonic() - start < PATIENT_S  # later ones tell, not the time
        assert host.retransmissions == (lost < 11)
    assert in_order(device, requests)
    assert len(device.done) == 11  # the HELLO, too, only once


def test_retransmitted_hello_does_not_open_another_session() -> None:
    device = Log()
    with session(FaultyLine(device, Rates(repeat=1), seed=1)) as host:
        requests = records(5)
        assert len(list(host.exchange(requests))) == 5
        assert in_order(device, requests)
        assert len(device.done) == 6


def answer(device: DeviceModel, request: Request, sequence: int) -> Reply:
    body = decode_frame(device.exchange(encode_frame(request.body(sequence)))[:-1])
    reply = parse_reply(body) if body else None
    assert reply is not None
    return reply


@pytest.mark.parametrize("later", [0, 1, 8, 255, 256, 700])
def test_a_copy_of_hello_is_not_executed_later(later: int) -> None:
    device = Log()
    hello, counters = Request(Command.HELLO), Request(Command.COUNTERS)
    first = answer(device, hello, 7).head["first"]
    for n in range(later):
        assert answer(device, counters, first + n).status is Status.OK
    again = answer(device, hello, 7)
    assert again.status is (Status.OUT_OF_ORDER if later else Status.OK)
    assert len(device.done) == 1 + later
    assert answer(device, counters, first + later).status is Status.OK


def test_a_request_of_an_earlier_session_is_never_executed() -> None:
    """Not even one that comes right after its own HELLO came again."""
    device = Log()
    hello, clear = Request(Command.HELLO), Request(Command.CLEAR)
    first = answer(device, hello, 99).head["first"]
    assert answer(device, clear, first).status is Status.OK
    assert answer(device, hello, 98).head["first"] == first + 1 + 98
    assert answer(device, hello, 99).head["first"] == first + 1 + 98 + 99
    assert answer(device, clear, first).status is Status.OUT_OF_ORDER
    assert [code for code, _ in device.done].count(Command.CLEAR) == 1


def test_a_late_reply_of_long_ago_is_none_to_a_new_request() -> None:
    """Nor one to a request 256 earlier in the same session."""

    class Echoing:
        is_active = False

        def __init__(self) -> None:
            self.device = Log()
            self.said: list[bytes] = []

        def exchange(self, data: bytes) -> bytes:
            self.said.append(self.device.exchange(data))
            return (self.said[-257] if len(self.said) > 256 else b"") + self.said[-1]

    with session(Echoing()) as host:
        for n in range(600):
            read = Request(Command.READ, region=Region.STATE, index=0, count=n % 3)
            size = SPEC.memories[Region.STATE].layout.size
            assert len(host.request(read).data) == n % 3 * size
        assert host.stale > 300


def test_another_host_is_noticed_at_once() -> None:
    class Shared:
        is_active = False

        def __init__(self) -> None:
            self.device, self.is_shared = Log(), False

        def exchange(self, data: bytes) -> bytes:
            if self.is_shared:
                self.device.exchange(encode_frame(Request(Command.HELLO).body(5)))
                self.is_shared = False
            return self.device.exchange(data)

    line = Shared()
    with session(line, retry_s=PATIENT_S) as host:
        host.open()
        host.is_alone = True
        host.open()
        assert host.is_alone
        host.request(Request(Command.COUNTERS))
        line.is_shared = True
        start = time.monotonic()
        with pytest.raises(LinkError, match=r"left this session: another host opened one, or"):
            host.request(Request(Command.COUNTERS))
        assert time.monotonic() - start < PATIENT_S
        host.request(Request(Command.COUNTERS))
        assert not host.is_alone


@pytest.mark.parametrize("taken", [1, 5, 40])
def test_a_host_that_left_early_is_still_alone(taken: int) -> None:
    with session(Log()) as host:
        host.open()
        host.is_alone = True
        for n, _ in enumerate(host.exchange(records(50))):
            if n == taken:
                break
        host.open()
        assert host.is_alone


def test_the_reply_to_an_earlier_hello_is_dropped() -> None:
    class Late:
        """Before the reply to a HELLO comes one to a HELLO of another number."""

        is_active = False

        def __init__(self) -> None:
            self.device = Log()
            self.earlier = DeviceModel(CoreSpec())

        def exchange(self, data: bytes) -> bytes:
            body = decode_frame(data.strip(b"\0"))
            late = b""
            if body and body[4] == Command.HELLO:
                late = self.earlier.exchange(encode_frame(bytes([body[0] ^ 1]) + body[1:]))
            return late + self.device.exchange(data)

    with session(Late()) as host:
        assert host.open().spec_hash == SPEC.hash[:16]
        assert host.stale == 1


def test_replies_of_an_earlier_session_are_dropped() -> None:
    class Haunted:
        """Says all that it ever said again before each reply."""

        is_active = False

        def __init__(self) -> None:
            self.device = Log()
            self.said = b""

        def exchange(self, data: bytes) -> bytes:
            reply, before = self.device.exchange(data), self.said
            self.said = (self.said + reply)[-2000:]
            return before + reply

    line = Haunted()
    with session(line) as host:
        list(host.exchange(records(40)))
        host.open()
        read = Request(Command.READ, region=Region.STATE, index=5, count=1)
        assert len(host.request(read).data) == SPEC.memories[Region.STATE].layout.size
        assert len(list(host.exchange(records(40)))) == 40
        assert host.stale > 0


def test_an_exchange_left_early_is_forgotten() -> None:
    device = Log()
    with session(device) as host:
        for _request, _reply in host.exchange(records(50)):
            break
        requests = records(3)
        device.done.clear()
        list(host.exchange(requests))
        after_hello = [code for code, _ in device.done].index(Command.HELLO) + 1
        assert device.done[after_hello:] == [(r.command, r.payload) for r in requests]


def test_requests_under_way_fit_the_device() -> None:
    class Ring:
        """Takes requests, and answers only once no more come."""

        is_active = True

        def __init__(self, device: Log) -> None:
            self.device, self.waiting, self.most = device, b"", 0
            self.frames = 0

        def exchange(self, data: bytes) -> bytes:
            self.waiting += data
            self.most = max(self.most, len(self.waiting))
            self.frames = max(self.frames, self.waiting.count(0))
            if data:
                return b""
            one, _, self.waiting = self.waiting.partition(b"\0")
            return self.device.exchange(one + b"\0") if one else b""

    link = LinkSpec(window=8, max_payload=64)
    device = Log(link)
    line = Ring(device)
    writes = [Request(Command.WRITE, bytes(59), region=0, index=n) for n in range(60)]
    with Link(SimulatedPort(line, BAUD), baud_hz=BAUD) as held:
        host = Session(held, retry_s=PATIENT_S)
        assert len(list(host.exchange(writes))) == 60
    assert host.retransmissions == 0
    assert 6 <= line.frames <= 8
    assert line.most <= link.window * link.max_payload


def test_refusals_and_silence() -> None:
    class Mute:
        is_active = False

        def __init__(self) -> None:
            self.device: DeviceModel | None = Log()

        def exchange(self, data: bytes) -> bytes:
            return self.device.exchange(data) if self.device else b""

    line = Mute()
    with session(line) as host:
        with pytest.raises(BoardError, match="refused RUN: it holds no valid image"):
            host.request(Request(Command.RUN, timestep=0, count=1))
        assert host.request(Request(Command.COUNTERS)).head["timesteps"] == 0
        line.device = None
        with pytest.raises(LinkError, match=r"stopped answering: no reply to COUNTERS\."):
            host.request(Request(Command.COUNTERS))


def test_a_device_that_endlessly_repeats_itself_counts_as_gone() -> None:
    """Out of order, out of order: news once, not a sign that the answer is on its way."""

    class Parrot:
        is_active = True

        def __init__(self) -> None:
            self.last = b""
            self.end = time.monotonic() + 20.0

        def exchange(self, data: bytes) -> bytes:
            for frame in data.split(b"\0"):
                body = decode_frame(frame) if frame else None
                if body:
                    reply = body[:5] + bytes([Status.OUT_OF_ORDER]) + body[:4]
                    self.last = encode_frame(reply)
            time.sleep(0.001)
            return self.last if time.monotonic() < self.end else b""

    started = time.monotonic()
    with session(Parrot()) as host, pytest.raises(LinkError, match="No answer"):
        host.open()
    assert time.monotonic() - started < 10.0


def test_a_device_that_forgot_its_session_is_an_error() -> None:
    class Amnesiac:
        is_active = False

        def __init__(self) -> None:
            self.device = Log()

        def exchange(self, data: bytes) -> bytes:
            return self.device.exchange(data)

    line = Amnesiac()
    with session(line) as host:
        host.open()
        line.device = Log()
        with pytest.raises(LinkError, match="or it was reset"):
            host.request(Request(Command.COUNTERS))
        assert host.request(Request(Command.COUNTERS)).status is Status.OK
