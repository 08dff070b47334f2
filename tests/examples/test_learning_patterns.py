"""A taught detector of patterns: what is drawn, what it learns, what homeostasis does for it."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikewright.compiler.plastic import axon_weights_of

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def example(learning: Any) -> Any:
    return learning.patterns


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.75, 1.0])
def test_patterns_have_their_lines_in_common(example: Any, overlap: float) -> None:
    patterns = example.draw_patterns(300, overlap, np.random.default_rng(3))
    assert (patterns.sum(axis=1) == 20).all()
    assert patterns.all(axis=0).sum() == 20 * overlap
    shared = (patterns[:150] & patterns[150:]).sum(axis=1).mean()
    own = 20 * (1 - overlap)
    assert shared == pytest.approx(20 * overlap + own**2 / (100 - 20 * overlap), abs=0.5)


def test_a_lesson_is_a_pattern_with_the_teacher_and_then_others(example: Any) -> None:
    patterns = example.draw_patterns(3, 0.0, np.random.default_rng(4))
    spikes = example.lessons(patterns, np.random.default_rng(5))
    taught = (spikes[:, None, 0, :100] == patterns).all(axis=2)
    assert (taught.sum(axis=1) == 1).all()
    assert set(taught.sum(axis=0).tolist()) == {106, 107}
    assert spikes[:, 0, 100:].all()
    assert not spikes[:, 1:, 100:].any()
    assert (spikes[:, 1:, :100].sum(axis=2) == 20).all()


def test_one_pattern_is_detected_and_nothing_else(example: Any, cores: Any) -> None:
    found = example.measure(cores, 1, 0.0, seed=7)
    assert (found.detections, found.false_alarms, found.accuracy) == (1, 0, 1)
    assert example.measure(cores, 1, 0.0, seed=7) == found


def test_untaught_it_detects_nothing(example: Any, cores: Any) -> None:
    cores.load(example.detector(0.6, 0))
    assert not example.detected(
        cores, example.draw_patterns(50, 0.0, np.random.default_rng(8))
    ).any()


def test_many_patterns_are_more_than_it_can_tell(example: Any, cores: Any) -> None:
    few, many = (example.measure(cores, count, 0.0, seed=1) for count in (2, 16))
    print(few, many)
    assert few.accuracy > 0.97
    assert 0.5 <= many.accuracy < 0.9


def test_weights_and_threshold_go_where_they_should(example: Any, cores: Any) -> None:
    pattern = example.draw_patterns(1, 0.0, np.random.default_rng(9))
    example.taught(cores, pattern, 0.6, seed=2)
    image = cores.learned_image()
    weights = axon_weights_of(image)[:, 0]
    assert weights[:100][pattern[0]].min() > 30
    assert weights[:100][~pattern[0]].max() < -15
    assert (weights[100:] == 127).all()
    full = 20 * example.W_MAX << example.SPEC.fraction_bits
    assert image.arrays["h"][0] / full == pytest.approx(0.6, abs=0.01)


def test_homeostasis_says_how_alike_a_pattern_must_be(example: Any, cores: Any) -> None:
    none, some, strict = (example.generalization(cores, s, seed=0) for s in (0.0, 0.3, 0.8))
    print(none, some, strict)
    assert none[10] == 1
    assert some[0] == strict[0] == 0
    assert some[-1] == strict[-1] == 1
    assert some.index(1) < strict.index(1)


def test_figures_and_picture(example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example, "OVERLAPS", (0.0, 0.5))
    monkeypatch.setattr(example, "STRICTNESSES", (0.6,))
    common = importlib.import_module("common")
    assert common.command("", example.run, ["--quick", "--folder", str(tmp_path)]) == 0
    row = json.loads((tmp_path / "learn.json").read_text())["patterns"]
    assert row["met"]
    assert (row["detections"], row["false_alarms"], row["others"]) == (1, 0, 1000)
    assert row["accuracy_by_overlap"].keys() == {"0.0", "0.5"}
    assert (tmp_path / "learn-patterns.png").read_bytes().startswith(b"\x89PNG")
