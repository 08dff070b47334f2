"""The link's one table: commands, statuses, headers and limits, for the RTL and for the host.

A frame on the wire is COBS(body) followed by one zero byte. A request's body is ``REQUEST``
header, payload, CRC-32C (Castagnoli, little-endian) of all before it; a reply's body the same with
the ``REPLY`` header. All integers are little-endian.

Sequence numbers count up modulo ``SEQUENCES``. HELLO opens a session, and has a random number of
its own: the device adds it to the number that it would have executed next, and the sum is the
number of the session's first request. So no number comes twice: not from two hosts, and not in a
frame that was on its way for long. A device executes a request only if its number is the expected
one. For one of the last ``window`` requests of this session it sends the stored reply again and
does nothing else; for any other it answers ``OUT_OF_ORDER`` with the number that it expects. A
HELLO with the number of the session's own is a retransmission: answered again until a request
follows, then ``OUT_OF_ORDER``. Damaged frames are counted and otherwise ignored.

Spikes are coded as bytes, timestep after timestep, ascending inside a timestep, `previous`
starting at -1 in each: a byte b < ``SKIP`` is a spike of line ``previous + 1 + b``; ``SKIP`` adds
``SKIP`` to `previous`; ``END`` ends the timestep. Both ways the bytes are one string that frames
may cut anywhere: what a RUN carries after its `count` timesteps, without ``END``, is taken as the
first part of the timestep to come, and the next RUN goes on from there. That part, and spikes out
that were not read, outlive a HELLO; CLEAR and COMMIT drop them. So a host that did not see a RUN
through to its end must have one of these done before it runs on. LEARN is a RUN in all of this.

Timesteps count from the last CLEAR or COMMIT, modulo ``TIMESTEPS``.

Timesteps are run on demand, or paced: after a PACE with a period they begin only on ticks of the
device's timer. The first after a PACE, CLEAR or COMMIT begins at once, and a timeline with it: its
ticks come every `period` cycles from there. A tick on which no timestep begins, because the one
before still runs, none was asked for, or spikes out have no room, is missed. The next timestep
begins on a later one and counts those missed before it in ``overruns``: results are as on demand,
and timestep n of a timeline begins `n + overruns` periods after the first. After ``MOST_MISSED``
in a row the timeline ends: the next timestep counts them and begins another. A HELLO that
opens a session switches pacing off, so that nobody inherits it.
"""

import math
from dataclasses import dataclass
from enum import IntEnum

from spikewright.errors import SpecError
from spikewright.layout import Field, Layout
from spikewright.spec import CoreSpec

__all__ = [
    "BITS_A_BYTE",
    "COUNTERS",
    "COUNTER_VALUES",
    "CRC_SIZE",
    "END",
    "HELLO_NONE",
    "ID_SIZE",
    "LEAST_PERIOD",
    "MOST_MISSED",
    "PERIOD_S",
    "PROTOCOL_VERSION",
    "REPLY",
    "REPLY_PAYLOADS",
    "REQUEST",
    "REQUEST_PAYLOADS",
    "RUNS",
    "SEQUENCES",
    "SKIP",
    "TIMESTEPS",
    "Command",
    "LinkSpec",
    "Status",
    "payload_needed",
    "ring_bytes",
    "worst_timestep_bytes",
]

PROTOCOL_VERSION = 3
BITS_A_BYTE = 10
"""Bit times of a byte on the line: start, eight data bits, stop (8N1)."""
CRC_SIZE = 4
ID_SIZE = 8
"""Bytes of a spec hash or image id that travel."""
SEQUENCES = 1 << 32
TIMESTEPS = 1 << 32
SKIP = 0xFE
END = 0xFF
PERIOD_S = (100e-6, 10e-3)
"""Shortest and longest period of a timestep that hosts ask for [s]."""
LEAST_PERIOD = 32
"""Shortest period that a timer counts [cycles], far below that."""
MOST_MISSED = 1 << 12
"""Ticks in a row that a timeline outlives."""


class Command(IntEnum):
    """What a request asks for."""

    HELLO = 0x01
    """Open a session; who are you? A load that was not committed ends.

    Timesteps are run on demand from here on. All else stays: state, timestep, spikes in of a
    timestep begun, spikes out not yet read."""
    COUNTERS = 0x02
    """Read all counters."""
    BEGIN = 0x03
    """Declare the image invalid and start a load."""
    WRITE = 0x04
    """Write records to a region; only between BEGIN and COMMIT."""
    COMMIT = 0x05
    """End a load: if byte count and CRC of all WRITE payloads match, CLEAR and declare it valid.

    Both run over the payloads, heads included, of the WRITEs that were answered OK."""
    READ = 0x06
    """Read records of a region."""
    RUN = 0x07
    """Run timesteps with the coded spikes that follow; zero timesteps just drains spikes out."""
    RECORD = 0x08
    """Choose the neuron groups whose spikes are reported; after COMMIT it is all of them."""
    CLEAR = 0x09
    """Clear the state, set the timestep to 0, drop spikes in of a timestep begun and spikes out.

    What was learned stays, until the next load."""
    LEARN = 0x0A
    """RUN timesteps in which the core learns, with one reward for all of them.

    Refused by a core without plasticity."""
    PACE = 0x0B
    """Begin timesteps every so many clock cycles from now on, on a new timeline; 0: on demand."""


RUNS = (Command.RUN, Command.LEARN)
"""Commands that run timesteps; their heads begin alike, and their replies are alike."""


class Status(IntEnum):
    """How a request ended. Any but OK has an empty payload unless stated."""

    OK = 0
    BAD_COMMAND = 1
    BAD_LENGTH = 2
    """The payload has not the length that the command needs; nothing was done."""
    BAD_ADDRESS = 3
    """Unknown region, not writable or readable, or records past its end."""
    NO_IMAGE = 4
    """No valid image: load one."""
    NOT_LOADING = 5
    """WRITE or COMMIT without BEGIN."""
    BAD_DIGEST = 6
    """The image did not arrive whole; it stays invalid."""
    BAD_TIMESTEP = 7
    """RUN starts at another timestep than the device is at (reply as for OK, nothing was run)."""
    PAUSED = 8
    """Spikes out need room: fewer timesteps were run than asked (reply as for OK).

    Coded spikes of timesteps that were not run were not taken."""
    BAD_SPIKES = 9
    """An axon out of range or timesteps past the count (reply as for OK, nothing was run)."""
    OUT_OF_ORDER = 10
    """Not the expected sequence number; the payload is the expected one."""
    NOT_PLASTIC = 11
    """LEARN to a core without plasticity; nothing was run."""
    BAD_PERIOD = 12
    """PACE of a period that the timer cannot count; nothing was done."""


def _u(*pairs: tuple[str, int]) -> Layout:
    return Layout(tuple(Field(name, 8 * size) for name, size in pairs))


REQUEST = _u(("sequence", 4), ("command", 1))
REPLY = _u(("sequence", 4), ("command", 1), ("status", 1))

REQUEST_PAYLOADS = {
    Command.HELLO: _u(),
    Command.COUNTERS: _u(),
    Command.BEGIN: _u(),
    Command.WRITE: _u(("region", 1), ("index", 4)),
    Command.COMMIT: _u(("image_id", ID_SIZE), ("byte_count", 4), ("crc", 4)),
    Command.READ: _u(("region", 1), ("index", 4), ("count", 2)),
    Command.RUN: _u(("timestep", 4), ("count", 2)),
    Command.RECORD: _u(("first_group", 2), ("group_count", 2)),
    Command.CLEAR: _u(),
    Command.LEARN: Layout((
        Field("timestep", 32),
        Field("count", 16),
        Field("reward", 8, signed=True),
    )),
    Command.PACE: _u(("period", 4)),
}
"""Fixed head of each request's payload. WRITE is followed by whole records, RUN and LEARN by coded
spikes; timesteps of these after their coded spikes end have none. ``reward`` is Q1.6, and without
effect where the spec has none."""

COUNTERS = (
    "timesteps",
    "cycles",
    "spikes_in",
    "spikes_out",
    "synaptic_operations",
    "saturations",
    "link_errors",
    "overruns",
)
"""32-bit counters in the order of the COUNTERS reply; they wrap, and count from power-up.

``cycles`` counts those of timesteps; ``spikes_in`` axon spikes; ``spikes_out`` spikes of all
neurons, recorded or not; ``synaptic_operations`` deliveries over a nonzero weight;
``saturations`` neuron updates in which v or i was clamped; ``link_errors`` frames dropped as
damaged, too long or for want of room; ``overruns`` ticks missed before a paced timestep, those
after the last one not."""

COUNTER_VALUES = 1 << 32
_MOST_CLOCK_HZ = (1 << 32) - 1

REPLY_PAYLOADS = {
    Command.HELLO: _u(
        ("first", 4),
        ("protocol", 1),
        ("window", 1),
        ("max_payload", 2),
        ("spec_hash", ID_SIZE),
        ("build_id", ID_SIZE),
        ("image_valid", 1),
        ("image_id", ID_SIZE),
        ("clock_hz", 4),
        ("timestep", 4),
    ),
    Command.COUNTERS: _u(*((name, 4) for name in COUNTERS)),
    Command.BEGIN: _u(),
    Command.WRITE: _u(),
    Command.COMMIT: _u(),
    Command.READ: _u(),
    Command.RUN: _u(("timestep", 4), ("pending", 2)),
    Command.RECORD: _u(),
    Command.CLEAR: _u(),
    Command.LEARN: _u(("timestep", 4), ("pending", 2)),
    Command.PACE: _u(),
}
"""Fixed head of each OK reply's payload. HELLO's ``first`` is the sequence number of the session's
first request: who subtracts the HELLO's gets the number at which the session before ended;
``clock_hz`` is what cycles are counted by. READ's is followed by whole records; RUN's and LEARN's
by coded spikes of the oldest unread timesteps, as many bytes as fit; ``pending`` is those that did
not."""

HELLO_NONE = 0
"""The ``image_id`` of a device without a valid image."""


@dataclass(frozen=True)
class LinkSpec:
    """The device side of the link; not part of the core's identity, answered by HELLO.

    Parameters
    ----------
    clock_hz, baud_hz : int
        System clock, below 2^32 as HELLO tells it, and line rate. A bit takes
        ``round(clock_hz / baud_hz)`` cycles, at least 4, which must meet the rate within 2 %.
    max_payload : int
        Longest payload of a request or reply [bytes], a power of two, 64 to 1,024.
    window : int
        Requests a host may have unanswered, and stored replies, a power of two, 2 to 64.

    Raises
    ------
    SpecError
        A value out of its range, or a rate that the clock does not give.
    """

    clock_hz: int = 100_000_000
    baud_hz: int = 1_000_000
    max_payload: int = 512
    window: int = 8

    def __post_init__(self) -> None:
        for name, low, high in (("max_payload", 64, 1024), ("window", 2, 64)):
            value = getattr(self, name)
            if not low <= value <= high or value & (value - 1):
                raise SpecError(
                    f"{name} must be a power of two in [{low}, {high}], not {value}.",
                    hint="Leave it out to get its default.",
                )
        for name in ("clock_hz", "baud_hz"):
            if getattr(self, name) < 1:
                raise SpecError(
                    f"{name} must be at least 1, not {getattr(self, name)}.",
                    hint="Give it in Hz: 100_000_000 is 100 MHz.",
                )
        if self.clock_hz > _MOST_CLOCK_HZ:
            raise SpecError(
                f"clock_hz must be at most {_MOST_CLOCK_HZ}, not {self.clock_hz}.",
                hint="Give it in Hz: 100_000_000 is 100 MHz.",
            )
        if self.divisor < 4:
            raise SpecError(
                f"baud_hz must be at most {self.clock_hz // 4} (a quarter of clock_hz), "
                f"not {self.baud_hz}.",
                hint="Take a lower baud_hz, or a faster clock.",
            )
        if abs(self.clock_hz - self.divisor * self.baud_hz) > self.divisor * self.baud_hz / 50:
            below = self.clock_hz // self.baud_hz
            nearest = [self.clock_hz // cycles for cycles in (below + 1, below) if cycles >= 4]
            raise SpecError(
                f"baud_hz must be within 2 % of a rate that divides clock_hz {self.clock_hz}, "
                f"not {self.baud_hz}.",
                hint=f"Nearest: {' and '.join(map(str, nearest))}.",
            )

    @property
    def divisor(self) -> int:
        """Clock cycles a bit."""
        return round(self.clock_hz / self.baud_hz)

    @property
    def period_bits(self) -> int:
        """Width of the timer: it counts periods from ``LEAST_PERIOD`` to so many bits [cycles]."""
        return math.ceil(self.clock_hz * PERIOD_S[1]).bit_length()


def payload_needed(spec: CoreSpec) -> int:
    """Least ``max_payload`` for a spec: a WRITE's head and the longest record [bytes]."""
    longest = max(memory.layout.size for memory in spec.memories.values())
    return REQUEST_PAYLOADS[Command.WRITE].size + longest


def worst_timestep_bytes(spec: CoreSpec) -> int:
    """Most bytes that one timestep's spikes out can take."""
    return spec.neurons + spec.neurons // SKIP + 1


def ring_bytes(spec: CoreSpec) -> int:
    """Bytes of coded spikes that a device holds for the host: two worst timesteps, at least."""
    return 1 << (2 * worst_timestep_bytes(spec) - 1).bit_length()
