import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from lessons import a_lesson, an_image
from networks import affine, chain, neuron, options

from spikewright.cli import main
from spikewright.compiler import compile_network
from spikewright.console import Table
from spikewright.cost import ENERGY_SOURCES, Distribution, cost, cost_summary, cost_tables
from spikewright.errors import SpikewrightError
from spikewright.files import spikes_bytes
from spikewright.frames import LinkSpec
from spikewright.runtime.traffic import load_traffic, run_traffic
from spikewright.sim.cases import Case, draw_case
from spikewright.sim.golden import GoldenModel, GoldenTarget


@pytest.fixture(scope="module")
def case() -> Case:
    return draw_case(4, timesteps=30, samples=5)


def test_cycles_and_bytes_are_those_of_the_models(case: Case) -> None:
    run = GoldenModel(case.image, 5).run(case.spikes)
    link = LinkSpec(max_payload=256)
    found = cost(case.image, case.spikes, clock_hz=50e6, link=link)
    assert (found.samples, found.timesteps) == (5, 30)
    assert found.timestep_cycles == Distribution.of(run.cycles)
    assert found.inference_cycles == Distribution.of(run.cycles.sum(axis=1))
    assert found.clear_cycles == case.image.spec.clear_cycles
    assert found.load == load_traffic(case.image, link)
    assert found.inferences == run_traffic(case.image, case.spikes, run.spikes, link)
    operations = run.synaptic_operations.sum(axis=1)
    assert found.neurobench.effective_acs == operations.mean()
    words = found.weights
    assert words.words == len(case.image.weights)
    assert words.filled == (case.image.weights != 0).mean()
    lanes = words.words_read.mean * 5 * case.image.spec.lanes
    assert math.isclose(words.read_filled * lanes, operations.sum())
    low, high = ENERGY_SOURCES
    assert math.isclose(found.energy.low_j, operations.mean() * low * 1e-12)
    assert math.isclose(found.energy.high_j, operations.mean() * high * 1e-12)


def test_a_core_that_can_learn_says_what_it_costs() -> None:
    image, (spikes, _) = an_image("window"), a_lesson("window")
    found, target = cost(image, spikes), GoldenTarget()
    target.load(image)
    off = target.run(spikes).cycles
    learning = target.run(spikes, learn=True).cycles
    assert off is not None
    assert learning is not None
    assert found.timestep_cycles == Distribution.of(off)
    assert found.learning_cycles == Distribution.of(learning)
    assert cost_summary(found)["cycles"]["learning"]["worst"] == learning.max()
    table = cost_tables(found)[0]
    assert isinstance(table, Table)
    assert "cycles of a timestep that learns" in [row[0] for row in table.rows]
    still = cost(draw_case(4).image, draw_case(4).spikes)
    assert still.learning_cycles is cost_summary(still)["cycles"]["learning"] is None


def test_a_distribution_names_counts_that_occurred() -> None:
    counts = np.arange(100).reshape(4, 25) ** 2
    assert Distribution.of(counts) == Distribution(3283.5, 49**2, 94**2, 99**2)
    assert Distribution.of(np.array([7])) == Distribution(7.0, 7, 7, 7)


def test_a_silent_network_costs_its_updates() -> None:
    image = compile_network(chain(affine(np.eye(9)), neuron(n=9)), options())
    found = cost(image, np.zeros((2, 6, 9), np.bool_))
    run = GoldenModel(image, 1).run(np.zeros((1, 6, 9), np.bool_))
    assert found.inference_cycles.worst == run.cycles.sum() == 6 * found.timestep_cycles.median
    assert found.weights.words_read.worst == 0
    assert found.energy.high_j == found.weights.read_filled == 0


@pytest.mark.parametrize("shape", [(0, 5, 3), (2, 0, 3)])
def test_nothing_to_run_is_refused(case: Case, shape: tuple[int, int, int]) -> None:
    with pytest.raises(SpikewrightError) as caught:
        cost(case.image, np.zeros(shape, np.bool_))
    assert str(caught.value) == (
        f"There is nothing to run in spikes of shape {list(shape)}.\n"
        "Give at least one sample of one timestep."
    )


@pytest.mark.parametrize("clock_hz", [0.0, -1e6, math.inf, math.nan])
def test_a_clock_that_is_none_is_refused(case: Case, clock_hz: float) -> None:
    with pytest.raises(SpikewrightError) as caught:
        cost(case.image, case.spikes, clock_hz=clock_hz)
    assert str(caught.value) == (
        f"The clock must be a frequency above 0 Hz, not {clock_hz}.\n"
        "Give it in Hz: 100e6 is 100 MHz."
    )


def test_tables_say_what_the_summary_says(case: Case) -> None:
    found = cost(case.image, case.spikes)
    text = "\n".join(
        part if isinstance(part, str) else part.text("utf-8") for part in cost_tables(found)
    )
    data = cost_summary(found)
    assert data["energy"]["is_estimate"]
    for source in ENERGY_SOURCES.values():
        assert source in text
    assert f"{data['link_bytes']['load']['sent']} sent" in text
    counts = data["cycles"]["inference"]
    wanted = rf"inference +{counts['mean']:.1f} +{counts['median']} +{counts['p95']}"
    assert re.search(wanted, text)
    assert data["seconds"]["inference"]["worst"] == counts["worst"] / 100e6


def test_the_command_prints_json_and_text(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, spikes = tmp_path / "model.core", tmp_path / "in.npz"
    case.image.save(image)
    spikes.write_bytes(spikes_bytes(case.spikes))
    command = ["cost", str(image), "--spikes", str(spikes), "--clock", "24e6"]
    assert main([*command, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    wanted = cost_summary(cost(case.image, case.spikes, clock_hz=24e6))
    assert data == {"image": case.image.id, **json.loads(json.dumps(wanted))}
    assert main(command) == 0
    assert "5 inferences of 30 timesteps at 24 MHz" in capsys.readouterr().out
    assert main([*command[:-1], "0"]) == 1
    assert "above 0 Hz" in capsys.readouterr().err
