"""Digits that the core learns: what it sees, that it learns, and the same from a seed."""

import argparse
import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikewright.console import Console

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def example(learning: Any) -> Any:
    return learning.digits


@pytest.fixture(scope="module")
def common(example: Any) -> Any:
    return importlib.import_module("common")


def few(digits: Any, count: int) -> Any:
    return replace(digits, pixels=digits.pixels[:count], labels=digits.labels[:count])


def learned(example: Any, common: Any, seed: int, images: int) -> Any:
    training, test = common.digits_split()
    with common.Cores(argparse.Namespace(target="golden", compare=None)) as cores:
        return example.learn(
            cores, few(training, images), test, seed=seed, epochs=1, console=Console()
        )


def test_one_axon_of_each_pair_spikes(example: Any) -> None:
    pixels = np.random.default_rng(1).integers(0, 17, (20, 64)).astype(np.uint8)
    spikes = example.encode(pixels, negative=True)
    assert spikes.shape == (20, 9, 128)
    assert (spikes[..., :64] ^ spikes[..., 64:]).all()


def test_brightness_is_a_rate_and_the_negative_its_complement(example: Any) -> None:
    pixels = np.tile(np.arange(17, dtype=np.uint8), (1, 4))[:, :64]
    spikes = example.encode(pixels, negative=True)[0, :, :64]
    assert np.abs(spikes[:6].sum(axis=0) / 6 - pixels[0] / 16).max() <= 0.5 / 6 + 1e-9
    assert np.abs(spikes[6:].sum(axis=0) / 3 - (1 - pixels[0] / 16)).max() <= 0.5 / 3 + 1e-9
    assert (example.encode(pixels, negative=False)[0, :, :64] == spikes[:6]).all()


def test_a_reader_counts_votes_and_may_have_none(example: Any) -> None:
    spikes = np.zeros((12, 2, 3), bool)
    labels = np.array([*range(10), 4, 7])
    spikes[labels == 4, 0, 1] = True
    spikes[labels == 7, :, 2] = True
    reader = example.Reader.of(spikes, labels)
    assert reader.shares[0].tolist() == [0] * 10
    assert reader.read(spikes).tolist() == [-1, -1, -1, -1, 4, -1, -1, 7, -1, -1, 4, 7]


def test_it_learns_and_a_seed_says_what(example: Any, common: Any) -> None:
    first = learned(example, common, 0, 400)
    print(first.curve)
    assert first.curve[-1] > 0.6
    assert first.curve[-1] > first.curve[0] + 0.2
    assert (
        np.abs(example.fields(first.after)).mean() > 2 * np.abs(example.fields(first.before)).mean()
    )
    again, other = learned(example, common, 0, 60), learned(example, common, 0, 60)
    assert again.after.id == other.after.id
    assert again.curve == other.curve
    assert learned(example, common, 1, 60).after.id != again.after.id


def test_figures_and_picture(
    example: Any, common: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, test = common.digits_split()
    monkeypatch.setattr(example, "digits_split", lambda: (few(training, 50), few(test, 30)))
    options = ["--quick", "--folder", str(tmp_path), "--compare", "golden"]
    assert common.command("", example.run, options) == 1
    row = json.loads((tmp_path / "learn.json").read_text())["digits"]
    assert row["targets"] == ["golden", "golden"]
    assert row["differences"] == 0
    assert row["met"] is False
    assert (tmp_path / "learn-digits.png").read_bytes().startswith(b"\x89PNG")
