"""Speed of the serial link, as a share of its line rate: ``python -m spikewright.linkbench``."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewright.errors import SpikewrightError
from spikewright.files import write_whole
from spikewright.frames import BITS_A_BYTE, LinkSpec, ring_bytes
from spikewright.image import CoreImage
from spikewright.runtime.coding import encode_spikes
from spikewright.runtime.device import Device
from spikewright.sim.bench import busy_network, example, label
from spikewright.sim.device_model import DeviceModel
from spikewright.sim.golden import GoldenModel
from spikewright.sim.line import BridgedPort
from spikewright.sim.timeline import TimelineClock
from spikewright.spec import CoreSpec, Region

__all__ = ["bits_a_spike", "main", "shortest_period", "speed"]

CLOCK_HZ = 96_000_000
"""Of the device: a multiple of both line rates."""
LINES = tuple((baud_hz, ms) for baud_hz in (1_000_000, 12_000_000) for ms in (1, 16))
"""Line rates [Hz] and latency timers [ms]."""
LARGE = CoreSpec(axons=512, neurons=512, lanes=32)
STREAM_BYTES = 400_000
"""Coded spikes of a stream, at least."""
PERIODS_S = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)
"""Of timesteps in real time."""
WANTED = 0.9
WANTED_BITS = 12

Bools = npt.NDArray[np.bool_]


def speed(
    image: CoreImage, spikes: Bools, baud_hz: int, latency_s: float, link: LinkSpec
) -> dict[str, float]:
    """Payload of a load, of its verification and of streamed spikes, by the line rate.

    Of a load that is what is in the image's memories; of spikes their code, one way: that which
    has more. The time is that of the whole operation, from the first request to the last reply.

    Parameters
    ----------
    image : CoreImage
    spikes : bool[timesteps, axons]
        Run without a pause.
    baud_hz : int
    latency_s : float
        Of the bridge's timer.
    link : LinkSpec
        Limits of the device.
    """
    model = DeviceModel(image.spec, link, room=1 << 20)
    port = BridgedPort(
        model,
        baud_hz,
        latency_s=latency_s,
        clock=TimelineClock(model.timeline, CLOCK_HZ),
    )
    byte_s = BITS_A_BYTE / baud_hz
    memories = sum(records.size for records in image.records.values())
    with Device(port, baud_hz=baud_hz) as device:
        started = port.now()
        device.load(image, verify=False)
        loaded = port.now()
        device.read_weights()
        verified = port.now()
        device.run(spikes[: len(spikes) // 8])  # how many spikes come out is known from then on
        before = port.now()
        fired = device.run(spikes).spikes
        ended = port.now()
        retransmissions = device.session.retransmissions
    coded = max(len(encode_spikes(part)[0]) for part in (spikes, fired))
    return {
        "load": memories * byte_s / (loaded - started),
        "read back": image.records[Region.WEIGHTS].size * byte_s / (verified - loaded),
        "spikes": coded * byte_s / (ended - before),
        "retransmissions": retransmissions,
    }


def shortest_period(
    image: CoreImage, spikes: Bools, baud_hz: int, latency_s: float, link: LinkSpec
) -> float | None:
    """The shortest of ``PERIODS_S`` that is kept from a cleared state on, without an overrun [s].

    Parameters
    ----------
    image, baud_hz, latency_s, link
        As for :func:`speed`; the host takes no time.
    spikes : bool[timesteps, axons]
        Run in real time.
    """
    limits = LinkSpec(CLOCK_HZ, baud_hz, link.max_payload, link.window)
    for period_s in PERIODS_S:
        model = DeviceModel(image.spec, limits, room=ring_bytes(image.spec))
        clock = TimelineClock(model.timeline, CLOCK_HZ)
        port = BridgedPort(model, baud_hz, latency_s=latency_s, clock=clock)
        with Device(port, baud_hz=baud_hz) as device:
            device.load(image, verify=False)
            if not device.run(spikes, period_s=period_s).counters["overruns"]:
                return period_s
    return None


def bits_a_spike(image: CoreImage, spikes: Bools) -> float:
    """Bits of code a spike, timesteps included, of all that go in and come out.

    Parameters
    ----------
    image : CoreImage
    spikes : bool[samples, timesteps, axons]
        Each from a cleared state.
    """
    fired = GoldenModel(image, samples=len(spikes)).run(spikes).spikes
    ways = (spikes, fired)
    coded = sum(len(encode_spikes(sample)[0]) for way in ways for sample in way)
    return 8 * coded / sum(int(way.sum()) for way in ways)


def measure(image: CoreImage, spikes: Bools, link: LinkSpec) -> dict[str, Any]:
    """All figures, as they are written to ``link.json``.

    Parameters
    ----------
    image : CoreImage
        The digits network.
    spikes : bool[samples, timesteps, axons]
        Its input.
    link : LinkSpec
        Limits of the device.
    """
    large = busy_network(LARGE, 0.02)
    rng = np.random.default_rng(1)
    size = len(encode_spikes(spikes.reshape(-1, spikes.shape[2]))[0])
    stream = np.concatenate([spikes.reshape(-1, spikes.shape[2])] * -(-STREAM_BYTES // size))
    few = rng.random((64, LARGE.axons)) < 0.02
    lines = []
    for baud_hz, ms in LINES:
        of_large = speed(large, few, baud_hz, ms / 1000, link)
        of_digits = speed(image, stream, baud_hz, ms / 1000, link)
        lines.append({
            "baud_hz": baud_hz,
            "latency_ms": ms,
            "load": of_large["load"],
            "read_back": of_large["read back"],
            "load_small": of_digits["load"],
            "spikes": of_digits["spikes"],
            "period_s": shortest_period(image, stream[:1000], baud_hz, ms / 1000, link),
            "retransmissions": of_large["retransmissions"] + of_digits["retransmissions"],
        })
    return {
        "link": {"max_payload": link.max_payload, "window": link.window},
        "load": f"{label(LARGE)}, {sum(r.size for r in large.records.values())} bytes",
        "load_small": f"{image.manifest.name or image.id[:16]}, "
        f"{sum(r.size for r in image.records.values())} bytes",
        "stream_timesteps": len(stream),
        "bits_a_spike": bits_a_spike(image, spikes),
        "lines": lines,
    }


def _show(figures: dict[str, Any]) -> None:
    print(f"Payload by line rate; load: {figures['load']}; small: {figures['load_small']}")
    heads = ("load", "read back", "small load", "spikes", "period")
    print(f"{'line':28}" + "".join(f"{head:>12}" for head in heads))
    for row in figures["lines"]:
        name = f"{row['baud_hz'] / 1e6:g} Mbaud, {row['latency_ms']} ms"
        ratios = (row["load"], row["read_back"], row["load_small"], row["spikes"])
        period = f"{1e6 * row['period_s']:.0f} us" if row["period_s"] else "none"
        print(f"{name:28}" + "".join(f"{ratio:12.1%}" for ratio in ratios) + f"{period:>12}")
    print(
        f"bits a spike, timesteps included: {figures['bits_a_spike']:.2f} (at most {WANTED_BITS})"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table and write ``link.json``; 1 if the link is slower than it should be."""
    parser = argparse.ArgumentParser(prog="linkbench", description=__doc__)
    parser.add_argument("--image", type=Path, help="core image whose spikes are streamed")
    parser.add_argument("--spikes", type=Path, help="its input spikes, .npz; random without")
    parser.add_argument("--window", type=int, default=LinkSpec.window)
    parser.add_argument("--max-payload", type=int, default=LinkSpec.max_payload)
    parser.add_argument("--output", type=Path, default=Path("build/bench/link.json"))
    options = parser.parse_args(arguments)
    try:
        image, spikes = example(options.image, options.spikes)
        link = LinkSpec(max_payload=options.max_payload, window=options.window)
        figures = measure(image, spikes, link)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        write_whole(options.output, (json.dumps(figures, indent=2) + "\n").encode())
    except SpikewrightError as error:
        print(error, file=sys.stderr)
        return 1
    _show(figures)
    print(f"Written to {options.output}")
    slowest = min(min(row["load"], row["spikes"]) for row in figures["lines"])
    return int(slowest < WANTED or figures["bits_a_spike"] > WANTED_BITS)


if __name__ == "__main__":
    sys.exit(main())
