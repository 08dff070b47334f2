"""Learning over the link: weights, eligibilities, offsets and random state are the model's."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from faulty import FaultyLine, Rates

from spikewright.compiler.plastic import plastic_image
from spikewright.errors import BoardError, LinkError, SpikewrightError
from spikewright.frames import Command, LinkSpec, Status
from spikewright.image import CoreImage
from spikewright.learning import LearningRule
from spikewright.runtime.board import SerialTarget
from spikewright.runtime.device import Device
from spikewright.runtime.link import decode_frame
from spikewright.runtime.protocol import Request
from spikewright.sim.device_model import DeviceModel
from spikewright.sim.golden import GoldenTarget
from spikewright.sim.terminal import Line, Terminal
from spikewright.spec import CoreSpec

BAUD = 4_000_000
PLAIN = CoreSpec(axons=40, neurons=16, lanes=8)
SPECS = {
    "window": replace(PLAIN, weight_words=0, plasticity="window"),
    "all": replace(
        PLAIN,
        weight_words=0,
        plasticity="trace",
        reward=True,
        stochastic_rounding=True,
        adaptive_threshold=True,
        soft_bounds=True,
    ),
}


def an_image(kind: str) -> CoreImage:
    """Every synapse learns, those among the neurons too."""
    spec, rng = SPECS[kind], np.random.default_rng(5)
    rule: dict[str, Any] = {"pre_step": 200, "post_step": 300, "w_min": -60, "w_max": 90}
    optional: dict[str, Any] = {}
    if spec.plasticity == "window":
        rule |= {"pre_step": 5, "post_step": 4, "pre_change": 70, "post_change": 150}
    else:
        rule |= {"a_pre": 3600, "a_post": 3500}
    if spec.reward:
        rule |= {"a_eligibility": 3900, "stochastic": True, "seed": 77, "a_h": 4000}
        optional["h_step"] = 9
    return plastic_image(
        spec,
        rng.integers(0, 60, (40, 16)),
        rng.integers(-20, 20, (16, 16)),
        neuron_plastic=True,
        rule=LearningRule(**rule),
        a_mem=3700,
        v_threshold=150 << spec.fraction_bits,
        reset_to=1,
        **optional,
    )


def a_lesson(kind: str, samples: int = 3) -> tuple[Any, Any]:
    """Spikes, and rewards that stay the same for some timesteps, where the spec takes any."""
    rng = np.random.default_rng(6)
    spikes = rng.random((samples, 25, 40)) < 0.1
    rewards = np.repeat(rng.integers(-128, 128, (samples, 5)), 5, axis=1)
    return spikes, rewards if SPECS[kind].reward else None


def golden(kind: str, samples: int = 3) -> tuple[CoreImage, Any]:
    target = GoldenTarget()
    target.load(an_image(kind))
    spikes, rewards = a_lesson(kind, samples)
    result = target.run(spikes, learn=True, rewards=rewards)
    return target.learned_image(), result


@pytest.mark.parametrize("faults", [0.0, 0.02])
@pytest.mark.parametrize("kind", SPECS)
def test_a_board_learns_what_the_golden_model_learns(kind: str, faults: float) -> None:
    image, (learned, wanted) = an_image(kind), golden(kind)
    assert (learned.weights != image.weights).mean() > 0.2
    spikes, rewards = a_lesson(kind)
    line = FaultyLine(DeviceModel(image.spec, LinkSpec(max_payload=128)), Rates.all(faults), 3)
    with Terminal(line) as port:
        target = SerialTarget(f"{port.path}@{BAUD}")
        target.load(image)
        result = target.run(spikes, learn=True, rewards=rewards)
        assert (result.spikes == wanted.spikes).all()
        assert (result.total_cycles == wanted.total_cycles).all()
        assert target.learned_image().id == learned.id
        target.run(spikes)  # without learning nothing changes
        assert target.learned_image().id == learned.id
        target.close()
    assert (line.faults > 10) == (faults > 0)


@pytest.mark.parametrize("kind", SPECS)
def test_a_learned_image_is_gone_on_from(kind: str) -> None:
    """Two samples, the image saved and loaded, and one more: as three without a stop."""
    (learned, _), (halfway, _) = golden(kind), golden(kind, samples=2)
    spikes, rewards = a_lesson(kind)
    with Terminal(DeviceModel(halfway.spec)) as port:
        target = SerialTarget(f"{port.path}@{BAUD}")
        target.load(CoreImage.from_bytes(an_image(kind).to_bytes()))
        of_two = None if rewards is None else rewards[:2]
        target.run(spikes[:2], learn=True, rewards=of_two)
        target.load(CoreImage.from_bytes(target.learned_image().to_bytes()))
        target.run(spikes[2:], learn=True, rewards=None if rewards is None else rewards[2:])
        assert (target.learned_image().weights == learned.weights).all()
        target.close()


class Cut:
    """Goes dead after so many LEARNs; its device lives on."""

    is_active = False

    def __init__(self, device: Line, learns: int) -> None:
        self.device = device
        self.left = learns
        self.open = b""

    def exchange(self, data: bytes) -> bytes:
        out = b""
        *frames, self.open = (self.open + data).split(b"\0")
        for frame in filter(None, frames):
            body = decode_frame(frame)
            self.left -= body is not None and body[4] == Command.LEARN
            out += self.device.exchange(frame + b"\0") if self.left > 0 else b""
        return out


def test_a_lost_link_leaves_what_was_learned() -> None:
    image, model = an_image("window"), DeviceModel(SPECS["window"])
    spikes, _ = a_lesson("window")
    with Terminal(Cut(model, 1)) as port, Device(port.path, baud_hz=BAUD, retry_s=0.01) as device:
        device.load(image)
        with pytest.raises(LinkError, match="no reply to LEARN") as caught:
            device.run(spikes[0], learn=True)
        assert "call attach(image)" in caught.value.hint
    with Terminal(model) as port, Device(port.path, baud_hz=BAUD) as device:
        device.attach(image)
        found = device.learned_image()
        assert model.core is not None
        assert model.core.plasticity is not None
        assert (found.weights == model.core.plasticity.weights[: len(image.weights)]).all()
        with pytest.raises(BoardError, match="was interrupted"):
            device.run(spikes[0], clear=False, learn=True)
    with (
        Terminal(DeviceModel(SPECS["window"])) as port,
        Device(port.path, baud_hz=BAUD) as device,
        pytest.raises(BoardError, match=r"holds no valid image, not .* is lost\.\n"),
    ):
        device.attach(image)


def test_nothing_is_read_back_while_the_core_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    image = an_image("window")
    spikes, _ = a_lesson("window")
    with Terminal(DeviceModel(image.spec)) as port, Device(port.path, baud_hz=BAUD) as device:
        device.load(image)
        actions: tuple[Callable[[], object], ...] = (
            device.learned_image,
            device.read_state,
            lambda: device.load(image),
            lambda: device.run(spikes[0]),
        )
        exchange = device.session.exchange

        def meanwhile(requests: Any) -> Any:
            for action in actions:
                with pytest.raises(BoardError, match="is running: nothing can be loaded, read"):
                    action()
            monkeypatch.undo()
            return exchange(requests)

        monkeypatch.setattr(device.session, "exchange", meanwhile)
        device.run(spikes[0], learn=True)
        assert device.learned_image().id != image.id


def test_a_core_without_plasticity_refuses() -> None:
    image = plastic_image(PLAIN, np.ones((40, 16), int), axon_plastic=False)
    with Terminal(DeviceModel(PLAIN)) as port, Device(port.path, baud_hz=BAUD) as device:
        device.load(image)
        with pytest.raises(SpikewrightError, match="This core cannot learn"):
            device.run(np.zeros((2, 40), np.bool_), learn=True)
        with pytest.raises(SpikewrightError, match="This core cannot learn"):
            device.learned_image()
        request = Request(Command.LEARN, timestep=0, count=1, reward=-3)
        ((_, reply),) = device.session.exchange([request])
        assert reply.status is Status.NOT_PLASTIC
        with pytest.raises(BoardError, match=re.escape("refused LEARN: its core has no plast")):
            reply.check()
