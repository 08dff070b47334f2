import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikewright.errors import BoardError, LinkError
from spikewright.frames import PROTOCOL_VERSION, REPLY_PAYLOADS, RUNS, Command, Status
from spikewright.runtime.protocol import Hello, Reply, Request, parse_reply

HELLO = {
    "first": 1,
    "protocol": PROTOCOL_VERSION,
    "window": 8,
    "max_payload": 512,
    "spec_hash": int.from_bytes(bytes(range(8)), "little"),
    "build_id": 2,
    "image_valid": 1,
    "image_id": 3,
    "timestep": 70_000,
    "clock_hz": 48_000_000,
}


def hello(**changes: int) -> Hello:
    return Hello.of(Reply(0, Command.HELLO, Status.OK, HELLO | changes, b""))


def test_request_bytes() -> None:
    request = Request(Command.WRITE, b"abc", region=1, index=0x010203)
    assert request.body(7).hex() == "07000000" + "04" + "01" + "03020100" + b"abc".hex()


def test_reply_fields() -> None:
    reply = parse_reply(bytes.fromhex("09000000070804030201" + "0500" + "aabb"))
    assert reply == Reply(
        9, Command.RUN, Status.PAUSED, {"timestep": 0x01020304, "pending": 5}, b"\xaa\xbb"
    )


@pytest.mark.parametrize("command", Command)
@pytest.mark.parametrize("status", Status)
def test_statuses_without_a_head(command: Command, status: Status) -> None:
    reply = parse_reply(bytes([0, 0, 0, 0, command, status]))
    run = (Status.OK, Status.BAD_TIMESTEP, Status.PAUSED, Status.BAD_SPIKES)
    has_head = status in run if command in RUNS else status is Status.OK
    if has_head and REPLY_PAYLOADS[command].size:
        assert reply is None
    else:
        assert reply == Reply(0, command, status, {}, b"")


@given(st.binary(max_size=80))
def test_any_bytes_are_a_reply_or_nothing(body: bytes) -> None:
    reply = parse_reply(body)
    if reply is not None:
        number = reply.sequence.to_bytes(4, "little")
        assert body[:6] == number + bytes([reply.command, reply.status])


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
def test_refusals_are_explained(status: Status) -> None:
    with pytest.raises(BoardError, match=r"^The device refused RUN: .*\.\n.*\.$"):
        Reply(0, Command.RUN, status, {}, b"").check()


def test_spikes_that_do_not_fit_are_no_reason_to_flash() -> None:
    with pytest.raises(BoardError) as caught:
        Reply(0, Command.RUN, Status.BAD_SPIKES, {}, b"").check()
    assert str(caught.value) == (
        "The device refused RUN: the spikes have an axon out of its range, or too many timesteps.\n"
        "Run with clear=True: an earlier run may have left a part of a timestep."
    )


def test_hello() -> None:
    assert hello() == Hello(
        window=8,
        max_payload=512,
        spec_hash="0001020304050607",
        build_id="0200000000000000",
        image_id="0300000000000000",
        timestep=70_000,
        first=1,
        clock_hz=48_000_000,
    )
    assert hello(image_valid=0).image_id is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": 9}, f"The device speaks protocol 9, this is {PROTOCOL_VERSION}."),
        (
            {"window": 0},
            "The device's link cannot be: window must be a power of two in [2, 64], not 0.",
        ),
        ({"max_payload": 65535}, "max_payload must be a power of two in [64, 1024], not 65535."),
        ({"clock_hz": 0}, "The device's link cannot be: clock_hz must be at least 1, not 0."),
    ],
)
def test_hello_that_cannot_be(changes: dict[str, int], message: str) -> None:
    with pytest.raises(LinkError, match=re.escape(message)):
        hello(**changes)
