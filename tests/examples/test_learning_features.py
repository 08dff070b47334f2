"""Features of moving edges: the events, and what learning them comes to."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikewright.compiler.plastic import axon_weights_of
from spikewright.console import Console

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def example(learning: Any) -> Any:
    return learning.features


def test_surface_slopes_the_way_the_edge_moves(example: Any) -> None:
    y, x = np.indices((example.PATCH, example.PATCH)).reshape(2, -1) - example.REACH
    for seed in range(10):
        events = example.sweep(np.random.default_rng(seed), noise=0.0)
        assert len(events) == (example.SENSOR - 2 * example.REACH) ** 2
        assert (np.diff(events.times) >= 0).all()
        ahead = x * np.cos(events.directions[0]) + y * np.sin(events.directions[0])
        shorter, longer = events.surfaces.reshape(len(events), 2, -1).transpose(1, 0, 2)
        assert shorter[:, example.PATCH**2 // 2].all()  # the event itself
        assert not (shorter & ~longer).any()
        # Jitter is drawn from a normal distribution: six deviations of the difference of two.
        reach = 6 * 2**0.5 * example.JITTER_MS * example.SPEEDS[1]
        assert not longer[:, ahead > reach].any()
        behind = -example.AGES[0] * example.SPEEDS[0] + reach
        assert shorter[:, (ahead < -reach) & (ahead > behind)].all()


def test_noise_is_as_much_as_asked_and_sees_less(example: Any) -> None:
    events = example.edges(np.random.default_rng(1), 60)
    assert (np.diff(events.times) >= 0).all()
    assert events.noise.mean() == pytest.approx(example.NOISE / (1 + example.NOISE), abs=0.02)
    seen = events.surfaces.sum(axis=1)
    assert seen[~events.noise].mean() == pytest.approx(example.SPIKES_OF_AN_EDGE, rel=0.03)
    assert seen[events.noise].mean() < 0.7 * example.SPIKES_OF_AN_EDGE


def test_many_edges_move_at_any_time(example: Any) -> None:
    events = example.edges(np.random.default_rng(2), 60)
    parts = np.array_split(events.directions, 5)
    assert all(len(np.unique(part)) > 25 for part in parts)


def test_selectivity_is_one_for_one_direction_and_nothing_for_opposite_ones(example: Any) -> None:
    directions = np.array([0.3, 0.3, 1.0, 1.0 + np.pi, 2.0, 2.0])
    noise = np.array([False, False, False, False, False, True])
    events = example.Events(np.arange(6.0), np.zeros((6, 98), bool), directions, noise)
    spikes = np.zeros((6, 16), bool)
    assert example.selectivity(spikes, events) == 0
    spikes[:2, 3] = True
    assert example.selectivity(spikes, events) == pytest.approx(1)
    spikes[2:4, 5] = True
    assert example.selectivity(spikes, events) == pytest.approx(0.5)
    spikes[5, 7] = True
    assert example.selectivity(spikes, events) == pytest.approx(0.5)


def test_features_emerge_and_fewer_events_are_missed(example: Any, cores: Any) -> None:
    rng = np.random.default_rng(3)
    events = example.edges(rng, 60)
    found = example.follow(cores, events, 3, Console())
    print(found.missed, found.change)
    assert found.missed[-1] < found.missed[0] / 4
    assert found.change[-1] < max(found.change) / 1.5
    missed = example.control(cores, example.edges(rng, 40), 3, found.after)
    assert missed["learned"] < 0.1
    assert missed["first"] > 0.5
    weights = axon_weights_of(found.after)
    assert weights.min() < 10
    assert weights.max() > 90


def test_every_event_has_at_most_one_winner(example: Any, cores: Any) -> None:
    events = example.edges(np.random.default_rng(4), 36)[:300]
    cores.load(example.extractor(4))
    spikes = cores.run(events.surfaces[None], learn=True).spikes[0]
    assert spikes.sum(axis=1).max() == 1


def test_a_seed_says_what_is_found(example: Any, cores: Any) -> None:
    events = example.edges(np.random.default_rng(5), 40)[:600]
    again = example.edges(np.random.default_rng(5), 40)[:600]
    assert np.array_equal(events.surfaces, again.surfaces)
    ids = [
        example.follow(cores, given, seed, Console()).after.id
        for given, seed in ((events, 5), (again, 5), (events, 6))
    ]
    assert ids[0] == ids[1] != ids[2]


def test_quick_run_meets_its_bar(example: Any, tmp_path: Path) -> None:
    options = ["--quick", "--folder", str(tmp_path)]
    parsed = importlib.import_module("common").arguments("").parse_args(options)
    assert example.run(parsed, Console())
    row = json.loads((tmp_path / "learn.json").read_text())["features"]
    assert (row["met"], row["differences"]) == (True, 0)
    assert row["missed_of_fresh_events"] <= row["bar"] < row["missed_by_first_weights"]
    assert (tmp_path / "learn-features.png").stat().st_size > 10_000
