"""The fault campaign of `make link`, in short; and that it finds what is wrong."""

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from cobs import cobs
from link_campaign import CLASSES, LINK, Tally, attempt, batch
from link_cases import draw_case, plain
from link_faults import FaultLine, Junk, Severed, misread
from link_host import BAUD_HZ, Host
from link_rtl import RTL, interrupt_everywhere
from link_soak import Campaign, Plan, main, run_job, show

from spikewright.errors import SpikewrightError
from spikewright.frames import CRC_SIZE
from spikewright.runtime import link, session
from spikewright.runtime.protocol import Reply
from spikewright.sim.device_model import Answer, DeviceModel
from spikewright.sim.line import SimulatedPort
from spikewright.spec import CoreSpec

FRAMES = 100_000
FAULTS = 15
PLAN = Plan(10_000, 0, batch_frames=500)


@pytest.mark.parametrize("name", CLASSES)
def test_results_are_right_or_a_typed_error(name: str) -> None:
    tally = batch(name, 1, FRAMES // len(CLASSES) + 1)
    assert tally.failures == []
    assert tally.wrong == 0
    assert tally.right > 10
    assert tally.slowest_s <= tally.limit_s < 35


def test_a_batch_is_the_same_every_time() -> None:
    first, second = (batch("junk", 3, 2000) for _ in range(2))
    first.seconds = second.seconds
    assert first == second


@pytest.fixture(scope="module", params=["plain", "learns"])
def rtl(request: pytest.FixtureRequest) -> Iterator[RTL]:
    with RTL(draw_case(request.param == "learns", 0)) as running:
        yield running


@pytest.mark.parametrize("name", CLASSES)
def test_the_rtl_gives_right_results_or_a_typed_error(rtl: RTL, name: str) -> None:
    faults = {"bit flips 1e-06": 1, "bit flips 1e-05": 1, "stuck line": 3}.get(name, FAULTS)
    tally = rtl.batch(name, 1, faults, most_frames=300)
    assert tally.failures == []
    assert tally.wrong == 0
    assert tally.faults >= faults or tally.frames >= 300
    assert tally.slowest_s <= tally.limit_s < 35
    if name == "baud off":  # by 2 % at most
        assert not tally.errors


def test_a_simulation_that_fails_ends_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Junk, frame: bytes) -> bytes:
        raise ArithmeticError

    monkeypatch.setattr(Junk, "strike", fail)
    with pytest.raises(ArithmeticError), RTL(draw_case(False, 0)) as failing:
        failing.batch("junk", 1, 1)


@pytest.mark.parametrize("learns", [False, True])
def test_a_load_cut_after_any_frame(learns: bool) -> None:
    tally = interrupt_everywhere((draw_case(learns, 1), draw_case(learns, 0)))
    assert tally.failures == []
    assert tally.right == tally.faults > 5


def test_a_longer_load_cut_after_any_frame() -> None:
    spec = CoreSpec(axons=64, neurons=128, lanes=8, delay_slots=2)
    tally = interrupt_everywhere((plain(1, spec), plain(0, spec)))
    assert tally.failures == []
    assert tally.right == tally.faults > 50


def test_a_load_to_the_rtl_cut_after_any_frame(rtl: RTL) -> None:
    learns = bool(rtl.case.learned)
    cases = draw_case(learns, 1), draw_case(learns, 0)
    tally = interrupt_everywhere(cases, rtl)
    assert tally.failures == []
    assert tally.right == tally.faults > 5


# What is wrong is found


def wrong(names: Iterable[str], frames: int = 12_000) -> int:
    return sum(batch(name, 2, frames).wrong for name in names)


def test_a_device_that_does_requests_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    reply = DeviceModel._reply

    def forgetful(self: DeviceModel, body: bytes) -> bytes:
        """Does a LEARN again that it did last."""
        number = (self._expected - 1) % (1 << 32)
        if body[:4] == number.to_bytes(4, "little") and body[4] == 0x0A:
            self._expected = number
            self._stored.pop()
            assert self.core
            self.core.timestep -= int.from_bytes(body[9:11], "little")
        return reply(self, body)

    monkeypatch.setattr(DeviceModel, "_reply", forgetful)
    assert wrong(["duplicated frames", "dropped frames"])


def test_a_host_that_takes_replies_of_others_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fits(self: session._Pending, reply: Reply) -> bool:
        near = (reply.sequence - self.sequence) % 8 == 0
        return near and reply.command is self.request.command

    monkeypatch.setattr(session._Pending, "fits", fits)
    assert wrong(["replies of an earlier session", "reordered frames"], 15_000)


def test_a_host_that_waits_for_too_long_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_dead_line() -> Tally:
        tally, case = Tally(), draw_case(False, 0)
        line = FaultLine(DeviceModel(case.image.spec, LINK), Severed(0))
        attempt(Host(SimulatedPort(line, BAUD_HZ), case, random.Random(0)), tally)
        assert tally.errors == {"LinkError": 1} or tally.wrong
        return tally

    assert open_dead_line().wrong == 0
    read = SimulatedPort.read
    monkeypatch.setattr(SimulatedPort, "read", lambda self, wait_s: read(self, 5 * wait_s))
    assert open_dead_line().wrong == 1


def test_a_link_without_a_checksum_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    intact = link.decode_frame

    def careless(frame: bytes) -> bytes | None:
        body = intact(frame)
        try:
            return body or bytes(cobs.decode(frame))[:-CRC_SIZE] or None
        except cobs.DecodeError:
            return None

    monkeypatch.setattr(link, "decode_frame", careless)
    assert wrong(["bit flips 1e-03", "bursts"])


def test_a_load_that_is_valid_too_early_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = DeviceModel._begin

    def careless(self: DeviceModel) -> Answer:
        core, image_id = self.core, self._image_id
        answer = begin(self)
        self.core, self._image_id = core, image_id
        return answer

    monkeypatch.setattr(DeviceModel, "_begin", careless)
    cases = (draw_case(False, 1), draw_case(False, 0))
    assert interrupt_everywhere(cases).wrong


def test_bits_of_another_length_are_misread_as_a_receiver_would() -> None:
    data = bytes(range(256))
    for rate in (0.98, 1.0, 1.02, 0.96, 1.04):
        assert misread(data, rate) == data
    assert misread(data, 0.9) != data != misread(data, 1.1)


# The program


def test_a_campaign_is_gone_on_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "link.json"
    options = ["--frames=1e4", "--faults=0", "--batch=500", "--workers=1", f"--state={state}"]
    assert main([*options, "--minutes", "0"]) == 1
    done = Campaign(PLAN, state)
    (job,) = done.results
    done.results |= dict.fromkeys(done.plan.jobs(), Tally(frames=5, right=1)) | {
        job: Tally(frames=7)
    }
    done._write()
    assert main(options) == 0
    assert Campaign(PLAN, state).results[job] == Tally(frames=7)
    assert '"wrong": 0' in capsys.readouterr().out
    with pytest.raises(SpikewrightError, match="is of another plan"):
        Campaign(Plan(20_000), state)
    assert main(["--state", str(state)]) == 1
    content = json.loads(state.read_text())
    del content["plan"]["batch_faults"]  # as an older version wrote it
    state.write_text(json.dumps(content))
    with pytest.raises(SpikewrightError, match="is of another plan"):
        Campaign(PLAN, state)
    state.write_text("{")
    with pytest.raises(SpikewrightError, match="Cannot go on from"):
        Campaign(PLAN, state)


def test_every_class_goes_through_the_rtl_with_and_without_learning() -> None:
    jobs = Plan(40_000, 250).jobs()
    assert len(jobs) == len(set(jobs))
    assert {job for job in jobs if job.startswith("RTL: ")} == {
        f"RTL: {name} #{n}" for name in (*CLASSES, "interrupted loads") for n in range(2)
    }
    assert {job for job in jobs if not job.startswith("RTL: ")} == {
        f"{name} #0" for name in CLASSES
    }


def test_rare_flips_strike_long_runs_on_the_rtl() -> None:
    tally = run_job("RTL: bit flips 1e-05 #0", Plan(batch_faults=1))
    assert tally.failures == []
    assert tally.wrong == 0
    assert tally.faults == 1
    assert tally.right > 0


def test_the_table_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    errors = Counter(LinkError=12_345, BoardError=1234, SpecError=123)
    tally = Tally(2_900_000, 125_000_000, 588_235, 110_000, errors, 1, 28.2, 31.06, 9.0, ["why"])
    show({f"{rtl}{CLASSES[-2]}": vars(tally) for rtl in ("", "RTL: ")})
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    row = f"{CLASSES[-2]} 2,900,000 125.0 588,235 110,000 1,234 12,345 123 1 28.20 31.06"
    assert [" ".join(line.split()) for line in lines].count(row) == 2
    assert lines.count("  why") == 2
