"""A line that harms what goes over it, a kind of fault at a time, between a host and a device."""

import random
from collections import deque
from collections.abc import Callable
from functools import partial

from spikewright.frames import REQUEST, SEQUENCES, Command, Status
from spikewright.runtime.link import decode_frame, encode_frame
from spikewright.runtime.protocol import Request, parse_reply
from spikewright.sim.terminal import Line


class Fault:
    """Strikes a share of the frames, both ways.

    Parameters
    ----------
    rng : Random
    rate : float
        Share of the frames.

    Attributes
    ----------
    count : int
        How often it struck.
    """

    def __init__(self, rng: random.Random, rate: float) -> None:
        self.rng = rng
        self.rate = rate
        self.count = 0

    def request(self, frame: bytes) -> bytes:
        """What becomes of an encoded frame on its way to the device."""
        return self.pass_on(frame)

    def reply(self, frame: bytes) -> bytes:
        """What becomes of an encoded frame on its way to the host."""
        return self.pass_on(frame)

    def pass_on(self, frame: bytes) -> bytes:
        if self.rng.random() >= self.rate:
            return frame
        self.count += 1
        return self.strike(frame)

    def strike(self, frame: bytes) -> bytes:
        raise NotImplementedError


class Flips(Fault):
    """Single bits turn, each with a probability of ``rate``. A frame counts once."""

    def __init__(self, rng: random.Random, rate: float) -> None:
        super().__init__(rng, rate)
        self.bits_left = int(rng.expovariate(rate))

    def pass_on(self, frame: bytes) -> bytes:
        bits = 8 * len(frame)
        if self.bits_left >= bits:
            self.bits_left -= bits
            return frame
        self.count += 1
        harmed = bytearray(frame)
        while self.bits_left < bits:
            harmed[self.bits_left // 8] ^= 1 << self.bits_left % 8
            self.bits_left += 1 + int(self.rng.expovariate(self.rate))
        self.bits_left -= bits
        return bytes(harmed)


class Burst(Fault):
    """Some bytes in a row become any others."""

    def strike(self, frame: bytes) -> bytes:
        first = self.rng.randrange(len(frame))
        length = self.rng.randint(1, 40)
        rest = frame[first + length :]
        return frame[:first] + self.rng.randbytes(min(length, len(frame) - first)) + rest


class Lost(Fault):
    """Whole frames vanish."""

    def strike(self, frame: bytes) -> bytes:
        return b""


class Doubled(Fault):
    """Frames come twice or three times."""

    def strike(self, frame: bytes) -> bytes:
        return frame * self.rng.randint(2, 3)


class Reordered(Fault):
    """Frames come after some that were sent later; some very much later."""

    def __init__(self, rng: random.Random, rate: float) -> None:
        super().__init__(rng, rate)
        self.held: dict[str, list[tuple[int, bytes]]] = {"request": [], "reply": []}
        self.passed = {"request": 0, "reply": 0}

    def request(self, frame: bytes) -> bytes:
        return self.shuffle("request", frame)

    def reply(self, frame: bytes) -> bytes:
        return self.shuffle("reply", frame)

    def shuffle(self, way: str, frame: bytes) -> bytes:
        self.passed[way] += 1
        now, held = self.passed[way], self.held[way]
        if self.rng.random() < self.rate:
            self.count += 1
            late = self.rng.randint(1, 4) if self.rng.random() < 0.7 else self.rng.randint(5, 700)
            held.append((now + late, frame))
            frame = b""
        due = b"".join(late for when, late in held if when <= now)
        if due:
            self.held[way] = [entry for entry in held if entry[0] > now]
        return frame + due


class Cut(Fault):
    """The end of a frame is missing, mostly with the zero that tells it from the next."""

    def strike(self, frame: bytes) -> bytes:
        kept = frame[: self.rng.randrange(len(frame))]
        return kept if self.rng.random() < 0.8 else kept + b"\0"


class Junk(Fault):
    """Bytes that nobody sent, between frames or inside of them, zeros among them."""

    def strike(self, frame: bytes) -> bytes:
        junk = self.rng.randbytes(self.rng.randint(1, 30))
        if self.rng.random() < 0.3:
            junk += b"\0"
        place = self.rng.choice((0, self.rng.randrange(len(frame))))
        return frame[:place] + junk + frame[place:]


class Break(Fault):
    """The line is low for a while: a receiver takes that for zeros, and misses what was sent."""

    def strike(self, frame: bytes) -> bytes:
        first = self.rng.randrange(len(frame))
        missed = self.rng.randint(0, 20)
        return frame[:first] + bytes(self.rng.randint(1, 5)) + frame[first + missed :]


class Stuck(Fault):
    """The line is dead for a while, both ways, or says the same byte all the time."""

    FRAMES: tuple[int, ...] = (3, 10, 30, 100)

    def __init__(self, rng: random.Random, rate: float) -> None:
        super().__init__(rng, rate)
        self.left = 0
        self.says = b""

    def pass_on(self, frame: bytes) -> bytes:
        if not self.left and self.rng.random() < self.rate:
            self.count += 1
            self.left = self.rng.choice(self.FRAMES)
            self.says = self.rng.choice((b"", b"\0", b"\xff", b"\x55"))
        if not self.left:
            return frame
        self.left -= 1
        return self.says * len(frame)


class Baud(Fault):
    """For some frames the sender's rate is off by 2 %, which must be nothing, or by up to 12 %."""

    def strike(self, frame: bytes) -> bytes:
        off = self.rng.choice((0.02, self.rng.uniform(0.02, 0.12)))
        return misread(frame, 1 + self.rng.choice((-1, 1)) * off)


def misread(data: bytes, rate: float) -> bytes:
    """Bytes without a pause, 8N1, as a receiver reads them whose bits are ``rate`` times as long.

    It samples each bit in its middle and drops bytes without a stop bit.
    """
    bits: list[int] = []
    for byte in data:
        bits += [0, *(byte >> k & 1 for k in range(8)), 1]
    bits += [1] * 12
    read = bytearray()
    at = 0.0  # in bits of the sender, where the receiver begins to look for a start bit
    while True:
        start = int(at)
        while start < len(bits) and bits[start]:
            start += 1
        began = max(float(start), at)
        samples = [int(began + (k + 0.5) * rate) for k in range(10)]
        if samples[-1] >= len(bits):
            return bytes(read)
        if bits[samples[-1]] and not bits[samples[0]]:
            read.append(sum(bits[sample] << k for k, sample in enumerate(samples[1:9])))
        at = began + 9.5 * rate


class Earlier(Fault):
    """Frames that went over the line before come again, mostly those of earlier sessions."""

    def __init__(self, rng: random.Random, rate: float, past: deque[tuple[str, bytes]]) -> None:
        super().__init__(rng, rate)
        self.past = past

    def request(self, frame: bytes) -> bytes:
        return self.haunt("request", frame)

    def reply(self, frame: bytes) -> bytes:
        return self.haunt("reply", frame)

    def haunt(self, way: str, frame: bytes) -> bytes:
        ghosts = b""
        if self.past and self.rng.random() < self.rate:
            first = self.rng.randrange(len(self.past))
            for k in range(first, min(first + self.rng.randint(1, 12), len(self.past))):
                ghosts += self.past[k][1] if self.past[k][0] == way else b""
            self.count += bool(ghosts)
        self.past.append((way, frame))
        return ghosts + frame


class OtherHost(Fault):
    """Another host sends requests of its own, each of them whole; this one hears the replies."""

    COMMANDS: tuple[Callable[[random.Random], Request], ...] = (
        lambda rng: Request(Command.COUNTERS),
        lambda rng: Request(Command.CLEAR),
        lambda rng: Request(Command.BEGIN),
        lambda rng: Request(Command.RECORD, first_group=0, group_count=rng.randint(0, 1)),
        lambda rng: Request(Command.READ, region=rng.randint(0, 6), index=0, count=1),
        lambda rng: Request(Command.WRITE, rng.randbytes(8), region=rng.randint(0, 6), index=0),
        lambda rng: Request(Command.RUN, b"\0", timestep=rng.randint(0, 8), count=1),
        lambda rng: Request(Command.PACE, period=rng.choice((0, 40, 64))),
        lambda rng: Request(Command.LEARN, b"\0", timestep=rng.randint(0, 8), count=1, reward=5),
    )

    def __init__(self, rng: random.Random, rate: float) -> None:
        super().__init__(rng, rate)
        self.left = 0
        self.opening = 0
        self.sequence = 0

    def request(self, frame: bytes) -> bytes:
        if self.left:
            self.left -= 1
            ours = encode_frame(self.rng.choice(self.COMMANDS)(self.rng).body(self.sequence))
            self.sequence = (self.sequence + 1) % SEQUENCES
            return ours + frame
        if self.rng.random() < self.rate:
            self.count += 1
            self.opening = self.rng.randrange(SEQUENCES)
            return encode_frame(Request(Command.HELLO).body(self.opening)) + frame
        return frame

    def reply(self, frame: bytes) -> bytes:
        body = decode_frame(frame[:-1]) if self.opening else None
        reply = parse_reply(body) if body else None
        if reply and reply.sequence == self.opening and reply.status is Status.OK:
            self.sequence, self.opening = reply.head["first"], 0
            self.left = self.rng.randint(0, 12)
        return frame


class OtherDevice(Fault):
    """For a while the port leads to another device, and what was on its way is lost."""

    def __init__(self, rng: random.Random, rate: float, other: Callable[[], Line]) -> None:
        super().__init__(rng, rate)
        self.make = other
        self.other: Line | None = None
        self.left = 0

    def request(self, frame: bytes) -> bytes:
        if self.left:
            self.left -= 1
        elif self.rng.random() < self.rate:
            self.count += 1
            self.other = self.make()
            self.left = self.rng.choice((2, 20, 60, 200))
        if not self.left:
            self.other = None
        return frame

    def reply(self, frame: bytes) -> bytes:
        return frame


class Severed(Fault):
    """Dead, both ways, after so many requests of a load; never, without a number.

    Attributes
    ----------
    count : int
        Frames that were lost.
    """

    def __init__(self, after: int | None = None) -> None:
        super().__init__(random.Random(0), 0)
        self.after = after
        self.seen: set[bytes] = set()

    @property
    def is_cut(self) -> bool:
        return len(self.seen) == self.after

    def request(self, frame: bytes) -> bytes:
        if self.is_cut:
            self.count += 1
            return b""
        body = decode_frame(frame[:-1])
        if body and body[REQUEST.size - 1] in (Command.BEGIN, Command.WRITE, Command.COMMIT):
            self.seen.add(body[: REQUEST.size - 1])
        return frame

    def reply(self, frame: bytes) -> bytes:
        return b"" if self.is_cut else frame


class FaultLine:
    """A device's line with a fault on it.

    Attributes
    ----------
    frames, bytes : int
        That either end sent.
    """

    def __init__(self, device: Line, fault: Fault) -> None:
        self.frames = 0
        self.bytes = 0
        self.fault = fault
        self._device = device
        self._open_in, self._open_out = b"", b""

    @property
    def is_active(self) -> bool:
        return self._device.is_active

    def exchange(self, data: bytes) -> bytes:
        if not data:
            return self._replies(self._device.exchange(data))
        self.bytes += len(data)
        *frames, self._open_in = (self._open_in + data).split(b"\0")
        out = b""
        for frame in frames:
            self.frames += bool(frame)
            harmed = self.fault.request(frame + b"\0")
            device = getattr(self.fault, "other", None) or self._device
            if harmed:
                out += self._replies(device.exchange(harmed))
        return out

    def _replies(self, data: bytes) -> bytes:
        self.bytes += len(data)
        *frames, self._open_out = (self._open_out + data).split(b"\0")
        self.frames += len(frames)
        return b"".join(self.fault.reply(frame + b"\0") for frame in frames)


Make = Callable[[random.Random], Fault]

SIMPLE: dict[str, Make] = {
    **{
        f"bit flips {rate:.0e}": partial(Flips, rate=rate)
        for rate in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
    },
    "bursts": partial(Burst, rate=0.05),
    "dropped frames": partial(Lost, rate=0.05),
    "duplicated frames": partial(Doubled, rate=0.2),
    "reordered frames": partial(Reordered, rate=0.05),
    "truncated frames": partial(Cut, rate=0.05),
    "junk": partial(Junk, rate=0.05),
    "break": partial(Break, rate=0.05),
    "stuck line": partial(Stuck, rate=0.005),
    "baud off": partial(Baud, rate=0.05),
    "two hosts": partial(OtherHost, rate=0.01),
}
"""Kinds of fault that need nothing but a line."""
