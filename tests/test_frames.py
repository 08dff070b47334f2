import re

import pytest

from spikewright.errors import SpecError
from spikewright.frames import REPLY_PAYLOADS, REQUEST_PAYLOADS, Command, LinkSpec, payload_needed
from spikewright.spec import CoreSpec, Region


@pytest.mark.parametrize(
    ("clock_hz", "baud_hz", "divisor"),
    [
        (100_000_000, 1_000_000, 100),
        (100_000_000, 25_000_000, 4),
        (24_000_000, 115_200, 208),
        (12_000_000, 921_600, 13),
        (48_000_000, 11_800_000, 4),  # 1.7 % off
        (1_000_000, 1, 1_000_000),
        ((1 << 32) - 1, 1_000_000, 4295),
    ],
)
def test_rates_that_a_clock_gives(clock_hz: int, baud_hz: int, divisor: int) -> None:
    assert LinkSpec(clock_hz, baud_hz).divisor == divisor


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ({"clock_hz": 0}, "clock_hz must be at least 1, not 0."),
        ({"clock_hz": -5}, "clock_hz must be at least 1, not -5."),
        ({"clock_hz": 1 << 32}, "clock_hz must be at most 4294967295, not 4294967296."),
        ({"baud_hz": 0}, "baud_hz must be at least 1, not 0."),
        ({"baud_hz": -9600}, "baud_hz must be at least 1, not -9600."),
        (
            {"baud_hz": 33_333_334},
            "baud_hz must be at most 25000000 (a quarter of clock_hz), not 33333334.",
        ),
        (
            {"clock_hz": 24_000_000, "baud_hz": 5_000_000},
            "baud_hz must be within 2 % of a rate that divides clock_hz 24000000, not 5000000.\n"
            "Nearest: 4800000 and 6000000.",
        ),
        (
            {"clock_hz": 12_000_000, "baud_hz": 3_300_000},
            "baud_hz must be within 2 % of a rate that divides clock_hz 12000000, not 3300000.\n"
            "Nearest: 3000000.",
        ),
        ({"window": 3}, "window must be a power of two in [2, 64], not 3."),
        ({"max_payload": 32}, "max_payload must be a power of two in [64, 1024], not 32."),
    ],
)
def test_links_that_cannot_be(link: dict[str, int], message: str) -> None:
    with pytest.raises(SpecError, match=rf"^{re.escape(message)}(\n|$)") as caught:
        LinkSpec(**link)
    assert isinstance(caught.value, ValueError)
    assert caught.value.hint


def test_a_reply_holds_any_clock() -> None:
    (width,) = (f.width for f in REPLY_PAYLOADS[Command.HELLO].fields if f.name == "clock_hz")
    LinkSpec(clock_hz=(1 << width) - 1)
    with pytest.raises(SpecError, match="clock_hz must be at most"):
        LinkSpec(clock_hz=1 << width)


def test_the_nearest_rates_are_taken() -> None:
    refused = 0
    for baud_hz in range(1_000_000, 6_100_000, 10_000):
        try:
            LinkSpec(24_000_000, baud_hz)
        except SpecError as error:
            refused += 1
            for rate in re.findall(r"\d+", error.hint):
                assert LinkSpec(24_000_000, int(rate)).divisor * int(rate) <= 24_000_000
    assert refused > 50


def test_payload_needed_is_a_write_of_the_longest_record() -> None:
    spec = CoreSpec(lanes=32, weight_bits=16)
    head = REQUEST_PAYLOADS[Command.WRITE].size
    assert payload_needed(spec) == head + spec.memories[Region.WEIGHTS].layout.size
    few = CoreSpec(lanes=1, neurons=8, weight_bits=2)
    assert payload_needed(few) == head + max(m.layout.size for m in few.memories.values())
