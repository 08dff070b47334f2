"""A device as the link sees it, byte by byte, around the golden model: the RTL's counterpart.

Written from the frame table alone, independent of the RTL and of the host's driver. It is never
busy: a request is done in no time of the line's. In its own time, by which timesteps are paced,
these take the cycles that the golden model predicts, and all else none.
"""

from collections import deque
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from cobs import cobs
from fastcrc import crc32

from spikewright.frames import (
    COUNTERS,
    CRC_SIZE,
    END,
    HELLO_NONE,
    ID_SIZE,
    LEAST_PERIOD,
    PROTOCOL_VERSION,
    REPLY,
    REPLY_PAYLOADS,
    REQUEST,
    REQUEST_PAYLOADS,
    RUNS,
    SEQUENCES,
    SKIP,
    TIMESTEPS,
    Command,
    LinkSpec,
    Status,
    worst_timestep_bytes,
)
from spikewright.layout import Layout
from spikewright.spec import CoreSpec, Region, index_width

from .golden import GoldenModel
from .timeline import Timeline
from .written import written_image

__all__ = ["DeviceModel"]

Answer = tuple[Status, bytes]
_OK: Answer = (Status.OK, b"")


def _fields(layout: Layout, data: bytes) -> dict[str, int]:
    return {name: int(column[0]) for name, column in layout.unpack(data[: layout.size]).items()}


def _bytes(layout: Layout, **values: int) -> bytes:
    """The record; values are taken modulo the size of their fields, as registers do."""
    parts = (
        (values[f.name] & ((1 << f.width) - 1)).to_bytes(f.width // 8, "little")
        for f in layout.fields
    )
    return b"".join(parts)


class DeviceModel:
    """One device; :meth:`exchange` is its line.

    Parameters
    ----------
    spec : CoreSpec
    link : LinkSpec
    room : int
        Bytes of spikes out that it keeps for the host; by default those of one worst timestep.

    Attributes
    ----------
    counters : dict of str to int
        Those of the frame table.
    core : GoldenModel or None
        What runs the image; None without a valid one.
    timeline : Timeline
        Its time, which may be moved on, and its timer.
    """

    def __init__(self, spec: CoreSpec, link: LinkSpec | None = None, *, room: int = 0) -> None:
        self.spec = spec
        self.link = link or LinkSpec()
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.timeline = Timeline()
        self._line = bytearray()
        self._opened: int | None = None  # the number of the session's HELLO
        self._greeting = b""  # the reply to that, until a request follows
        self._expected = 0
        self._stored: deque[tuple[int, bytes]] = deque(maxlen=self.link.window)
        self._memories = {
            region: np.zeros((memory.depth, memory.layout.size), np.uint8)
            for region, memory in spec.memories.items()
        }
        self._is_loading = False
        self._digest = (0, 0)  # bytes and CRC of the load so far
        self._image_id = HELLO_NONE
        self.core: GoldenModel | None = None
        self._groups = range(spec.groups)
        self._part = b""  # of the next timestep's spikes in
        self._out = bytearray()
        self._room = max(room, worst_timestep_bytes(spec))

    # The line

    @property
    def is_active(self) -> bool:
        """Whether more bytes come out without any going in: never."""
        return False

    def exchange(self, data: bytes) -> bytes:
        """Take bytes from the line; give those that are sent in return."""
        self._line += data
        *frames, rest = self._line.split(b"\0")
        self._line = rest
        return b"".join(self._answer(bytes(frame)) for frame in frames if frame)

    def _answer(self, frame: bytes) -> bytes:
        """The encoded reply to an encoded request, empty if that is damaged or too long."""
        try:
            content = cobs.decode(frame)
        except cobs.DecodeError:
            content = b""
        body, crc = content[:-CRC_SIZE], content[-CRC_SIZE:]
        fits = REQUEST.size <= len(body) <= REQUEST.size + self.link.max_payload
        if not fits or crc32.iscsi(body).to_bytes(CRC_SIZE, "little") != crc:
            self.counters["link_errors"] += 1
            return b""
        reply = self._reply(body)
        content = reply + crc32.iscsi(reply).to_bytes(CRC_SIZE, "little")
        return bytes(cobs.encode(content)) + b"\0"

    def _reply(self, body: bytes) -> bytes:
        """The reply to a whole request, done now or stored when it was."""
        header, payload = _fields(REQUEST, body), body[REQUEST.size :]
        sequence, command = header["sequence"], header["command"]
        is_hello = command == Command.HELLO and not payload
        if is_hello and self._opened != sequence:
            self._opened = sequence
            self._expected = (self._expected + sequence) % SEQUENCES
            self._stored.clear()
            self._is_loading = False
            self._greeting = self._done(sequence, command, payload)
        if is_hello and self._greeting:
            return self._greeting
        for stored, reply in self._stored:
            if stored == sequence and not is_hello:
                return reply
        if is_hello or self._opened is None or sequence != self._expected:
            head = _bytes(REPLY, sequence=sequence, command=command, status=Status.OUT_OF_ORDER)
            return head + self._expected.to_bytes(4, "little")
        reply = self._done(sequence, command, payload)
        self._expected = (sequence + 1) % SEQUENCES
        self._stored.append((sequence, reply))
        self._greeting = b""
        return reply

    def _done(self, sequence: int, command: int, payload: bytes) -> bytes:
        """Do a request; its reply."""
        status, answer = self._do(command, payload)
        return _bytes(REPLY, sequence=sequence, command=command, status=status) + answer

    # Requests

    def _do(self, code: int, payload: bytes) -> Answer:
        if code not in list(Command):
            return Status.BAD_COMMAND, b""
        command = Command(code)
        layout = REQUEST_PAYLOADS[command]
        head, data = payload[: layout.size], payload[layout.size :]
        has_data = command is Command.WRITE or command in RUNS
        if len(head) < layout.size or (data and not has_data):
            return Status.BAD_LENGTH, b""
        values = _fields(layout, head) if layout.fields else {}
        if command is Command.WRITE:
            return self._write(payload, data, **values)
        if command in RUNS:
            return self._run(command, data, **values)
        handlers: dict[Command, Callable[..., Answer]] = {
            Command.HELLO: self._hello,
            Command.COUNTERS: self._read_counters,
            Command.BEGIN: self._begin,
            Command.COMMIT: self._commit,
            Command.READ: self._read,
            Command.RECORD: self._record,
            Command.CLEAR: self._clear,
            Command.PACE: self._pace,
        }
        return handlers[command](**values)

    def _hello(self) -> Answer:
        self.timeline.pace(0)
        reply = _bytes(
            REPLY_PAYLOADS[Command.HELLO],
            first=self._expected,
            protocol=PROTOCOL_VERSION,
            window=self.link.window,
            max_payload=self.link.max_payload,
            spec_hash=int.from_bytes(bytes.fromhex(self.spec.hash)[:ID_SIZE], "little"),
            build_id=0,
            image_valid=self.core is not None,
            image_id=self._image_id,
            timestep=self.core.timestep if self.core else 0,
            clock_hz=self.link.clock_hz,
        )
        return Status.OK, reply

    def _read_counters(self) -> Answer:
        return Status.OK, _bytes(REPLY_PAYLOADS[Command.COUNTERS], **self.counters)

    def _begin(self) -> Answer:
        self.core, self._image_id = None, HELLO_NONE
        self._is_loading, self._digest = True, (0, 0)
        self._drop_spikes()
        return _OK

    def _write(self, payload: bytes, data: bytes, region: int, index: int) -> Answer:
        if not self._is_loading:
            return Status.NOT_LOADING, b""
        memory = self.spec.memories.get(Region(region)) if region in list(Region) else None
        if memory is None or not memory.writable:
            return Status.BAD_ADDRESS, b""
        count, rest = divmod(len(data), memory.layout.size)
        if rest:
            return Status.BAD_LENGTH, b""
        if index + count > memory.depth:
            return Status.BAD_ADDRESS, b""
        records = np.frombuffer(data, np.uint8).reshape(count, memory.layout.size)
        self._memories[Region(region)][index : index + count] = records
        self._digest = self._digest[0] + len(payload), crc32.iscsi(payload, self._digest[1])
        return _OK

    def _commit(self, image_id: int, byte_count: int, crc: int) -> Answer:
        if not self._is_loading:
            return Status.NOT_LOADING, b""
        self._is_loading = False
        if (byte_count, crc) != self._digest:
            return Status.BAD_DIGEST, b""
        self.core, self._image_id = GoldenModel(written_image(self.spec, self._memories)), image_id
        self._groups = range(self.spec.groups)
        self.timeline.restart()
        self._drop_spikes()
        return _OK

    def _read(self, region: int, index: int, count: int) -> Answer:
        memory = self.spec.memories.get(Region(region)) if region in list(Region) else None
        if memory is None or not memory.readable:
            return Status.BAD_ADDRESS, b""
        if count * memory.layout.size > self.link.max_payload:
            return Status.BAD_LENGTH, b""
        if index + count > memory.depth:
            return Status.BAD_ADDRESS, b""
        records = self._memories[Region(region)]
        if self.core and (self.core.plasticity or region != Region.WEIGHTS):
            records = memory.layout.pack(self._state(self.core, Region(region)))
        return Status.OK, records[index : index + count].tobytes()

    def _record(self, first_group: int, group_count: int) -> Answer:
        if first_group + group_count > self.spec.groups:
            return Status.BAD_ADDRESS, b""
        self._groups = range(first_group, first_group + group_count)
        return _OK

    def _clear(self) -> Answer:
        if self.core:
            self.core.clear()
        self.timeline.restart()
        self._drop_spikes()
        return _OK

    def _pace(self, period: int) -> Answer:
        if 0 < period < LEAST_PERIOD or period.bit_length() > self.link.period_bits:
            return Status.BAD_PERIOD, b""
        self.timeline.pace(period)
        return _OK

    def _run(
        self, command: Command, data: bytes, timestep: int, count: int, reward: int = 0
    ) -> Answer:
        learns = command is Command.LEARN
        if learns and not self.spec.plastic:
            return Status.NOT_PLASTIC, b""
        if self.core is None:
            return Status.NO_IMAGE, b""
        status, codes = Status.OK, (self._part + data).split(bytes([END]))
        inputs = [self._decode(code) for code in codes]
        if timestep != self.core.timestep % TIMESTEPS:
            status = Status.BAD_TIMESTEP
        elif None in inputs or len(codes) - 1 > count:
            status = Status.BAD_SPIKES
        else:
            step = partial(self._step, learns=learns, reward=reward)
            status = self._steps(codes, [lines or [] for lines in inputs], count, step)
        layout = REPLY_PAYLOADS[Command.RUN]
        fit = self.link.max_payload - layout.size
        sent, self._out = bytes(self._out[:fit]), self._out[fit:]
        head = _bytes(layout, timestep=self.core.timestep, pending=len(self._out))
        return status, head + sent

    # Running

    def _steps(
        self,
        codes: list[bytes],
        inputs: list[list[int]],
        count: int,
        step: Callable[[list[int]], None],
    ) -> Status:
        """Run timesteps while there is room for their spikes; keep what is left of ``codes``."""
        known = len(self._decode(self._part) or [])  # spikes that were counted with an earlier RUN
        inputs += [[]] * (count + 1 - len(inputs))
        for lines in inputs[:count]:
            if self._room - len(self._out) < worst_timestep_bytes(self.spec):
                return Status.PAUSED
            step(lines)
            self.counters["spikes_in"] += len(lines) - known
            known, self._part = 0, b""
        self._part = codes[count] if count < len(codes) else b""
        self.counters["spikes_in"] += len(inputs[count]) - known
        return Status.OK

    def _step(self, lines: list[int], *, learns: bool, reward: int) -> None:
        assert self.core is not None
        axons = np.zeros((1, self.spec.axons), np.bool_)
        axons[0, lines] = True
        missed = self.timeline.begin()
        result = self.core.step(axons, learn=learns, reward=reward)
        fired = np.flatnonzero(result.spikes[0]).tolist()
        grown = {
            "timesteps": 1,
            "cycles": int(result.cycles[0]),
            "spikes_out": len(fired),
            "synaptic_operations": int(result.synaptic_operations[0]),
            "saturations": int(result.saturations[0]),
            "overruns": missed,
        }
        self.timeline.time += grown["cycles"]
        for name, amount in grown.items():
            self.counters[name] += amount
        self._out += self._encode([n for n in fired if n // self.spec.lanes in self._groups])

    def _decode(self, code: bytes) -> list[int] | None:
        """Axons of one timestep, or the part of one; None if one is out of range."""
        lines, previous = [], -1
        for byte in code:
            previous += byte if byte == SKIP else byte + 1
            if previous >= self.spec.axons:
                return None
            if byte != SKIP:
                lines.append(previous)
        return lines

    @staticmethod
    def _encode(lines: list[int]) -> bytes:
        code, previous = bytearray(), -1
        for line in lines:
            skips, byte = divmod(line - previous - 1, SKIP)
            code += bytes([SKIP] * skips + [byte])
            previous = line
        return bytes([*code, END])

    def _drop_spikes(self) -> None:
        self._part = b""
        self._out.clear()

    # Memories

    def _state(self, core: GoldenModel, region: Region) -> dict[str, npt.NDArray[np.int64]]:
        """Columns of a readable region as they are now."""
        if region is Region.STATE:
            names = ("v", "i", "refractory", "y", "h")
            return {name: getattr(core, name)[0] for name in names}
        if core.plasticity and region is Region.RANDOM:
            return {"random": np.array([core.plasticity.random])}
        if core.plasticity and region is Region.WEIGHTS:
            columns = self.spec.memories[region].layout.unpack(self._memories[region])
            for k in range(self.spec.lanes):
                columns[f"weight{k}"] = core.plasticity.weights[:, k]
                columns[f"eligibility{k}"] = core.plasticity.eligibility[:, k]
            return columns
        acc = np.zeros((self.spec.delay_slots, 1 << index_width(self.spec.neurons)), np.int64)
        acc[:, : self.spec.neurons] = core.acc[0]
        return {"acc": acc.ravel()}
