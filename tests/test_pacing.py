"""Real time on the command line: periods as they are typed, and what is said of overruns."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import Cli
from link_cases import plastic

from spikewright.console import Console
from spikewright.files import read_result
from spikewright.pacing import overrun_lines, period_text, too_short
from spikewright.runtime.stream import worst_timestep_cycles
from spikewright.sim.cases import Case, draw_case, draw_spec
from spikewright.sim.golden import GoldenModel, GoldenTarget
from spikewright.sim.virtual import VirtualBoard
from spikewright.spec import CoreSpec
from spikewright.target import Progress, RunResult

SPEC = CoreSpec(axons=12, neurons=8, lanes=4, delay_slots=2)


@pytest.fixture(scope="module")
def case() -> Case:
    return draw_case(4, spec=SPEC, timesteps=9, samples=2)


@pytest.fixture(scope="module")
def files(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    case.image.save(folder / "model.core")
    np.savez(folder / "in.npz", spikes=case.spikes)
    return folder


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def golden(case: Case, overruns: list[int]) -> RunResult:
    target = GoldenTarget()
    target.load(case.image)
    return replace(target.run(case.spikes), overruns=np.array(overruns))


def test_a_virtual_board_in_real_time(cli: Cli, files: Path, case: Case, tmp_path: Path) -> None:
    """The same spikes; recorded and replayed, with its overruns; and a period that is not it."""
    run = ("run", files / "model.core", "--spikes", files / "in.npz")
    with VirtualBoard(SPEC):
        pass  # it is compiled now, which would be told
    recording = tmp_path / "session.txt"
    options = ("--target", "virtual", "--period", "200us", "--record", recording)
    data = cli.json(*run, *options, "-o", tmp_path / "out.npz")
    assert data["period_s"] == 2e-4
    result = read_result(tmp_path / "out.npz")
    assert np.array_equal(result.spikes, golden(case, []).spikes)
    assert result.overruns is not None
    assert result.overruns.tolist() == data["overruns"]
    replay = ("--target", f"replay:{recording}")
    again = cli.json(*run, *replay, "--period", "0.2ms")
    assert again["overruns"] == data["overruns"]
    assert "of PACE is" in cli.error(*run, *replay, "--period", "300us")
    assert "period_s" not in cli.json(*run)


@pytest.mark.parametrize(
    ("period", "code", "message"),
    [
        ("1", 2, "must be a time such as 250us or 1ms, not '1'"),
        ("-1ms", 2, "must be a time"),
        ("1e3us", 2, "must be a time"),
        ("11ms", 1, "The period must be in [100 us, 10000 us], not 11000 us (0.011 s)."),
        ("0.01ms", 1, "not 10 us (1e-05 s)."),
        ("1ms", 1, "Target 'golden' runs timesteps as fast as it can: it has no timer."),
    ],
)
def test_periods_that_cannot_be(
    cli: Cli, files: Path, period: str, code: int, message: str
) -> None:
    text = cli.error(
        "run", files / "model.core", "--spikes", files / "in.npz", "--period", period, code=code
    )
    assert message in text


def test_periods_as_they_are_typed() -> None:
    texts = ["100us", "250us", "999.5us", "1ms", "1.25ms", "10ms"]
    assert [period_text(s) for s in (1e-4, 2.5e-4, 9.995e-4, 1e-3, 1.25e-3, 1e-2)] == texts


class Bars(Console):
    """Keeps each progress bar's total, and how far it came."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[list[int | None]] = []

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Progress]:
        counts: list[int] = []
        yield counts.append
        self.shown.append([total, sum(counts)])


def test_what_is_said_of_overruns(case: Case) -> None:
    image, spikes, bars = case.image, case.spikes, Bars()
    cycles = int(GoldenModel(image, samples=2).run(spikes).cycles.max())

    def said(overruns: list[int], clock_hz: int) -> str:
        result = golden(case, overruns)
        return "\n".join(overrun_lines(bars, image, spikes, result, 1e-3, clock_hz))

    assert said([0, 0], 1_000_000) == "In real time: no overrun at 1ms a timestep."
    assert bars.shown == []
    late = said([3, 4], 100_000_000)
    assert late.startswith("Overruns: 7. So many ticks, 1ms apart, were missed")
    assert f"takes the core {cycles} cycles" in late
    assert "The host or the line was late." in late
    slow = said([3, 4], 1000 * (cycles - 1))
    assert f"{cycles} cycles, {1e3 * cycles / (cycles - 1):.1f} us at" in slow
    assert "Take a longer period than that" in slow
    assert bars.shown == [[2, 2], [2, 2]]  # of two samples, two were run


def test_a_period_that_may_be_too_short_is_told(case: Case) -> None:
    worst = worst_timestep_cycles(case.image)
    assert too_short(case.image, 1e-3, 1000 * worst) is None
    text = too_short(case.image, 1e-3, 1000 * (worst - 1))
    assert text is not None
    assert f"takes up to {worst:,} cycles" in text
    assert "longer than 1ms" in text


def test_passes_of_learning_are_none_of_a_runs() -> None:
    image = plastic(0).image
    worst = worst_timestep_cycles(image, learns=False)
    assert worst < worst_timestep_cycles(image)
    assert too_short(image, 1e-3, 1000 * worst) is None
    assert f"up to {worst:,} cycles" in str(too_short(image, 1e-3, 1000 * (worst - 1)))


@pytest.mark.parametrize("learns", [False, True])
@pytest.mark.parametrize("number", range(40))
def test_no_timestep_takes_more_cycles_than_its_bound(number: int, learns: bool) -> None:
    rng = np.random.default_rng((number, 41))
    spec = draw_spec(rng, most=64, plastic=number % 2 == 1)
    spec = replace(spec, update_cycles=spec.lanes)
    case = draw_case((number, 42), spec=spec, timesteps=20)
    model, bound = GoldenModel(case.image), worst_timestep_cycles(case.image, learns=learns)
    for _ in range(20):
        step = model.step(np.ones((1, spec.axons), np.bool_), learn=learns and spec.plastic)
        assert step.cycles[0] <= bound
