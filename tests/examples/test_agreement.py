"""snnTorch's spikes against those of the integers compiled from it, on a few networks."""

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("snntorch")

EXAMPLES = Path(__file__).parents[2] / "examples"
SEEDS = (2, 5, 10, 19, 23, 45)


@pytest.fixture(scope="module")
def example() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield importlib.import_module("agreement")


def test_seeds_cover_every_neuron_and_reset(example: Any) -> None:
    kinds = {
        (type(cell).__name__, cell.reset_mechanism, cell.reset_delay)
        for seed in SEEDS
        for cell in example.cells_of(seed)
    }
    assert len(kinds) == 8


@pytest.mark.parametrize("seed", SEEDS)
def test_snntorch_spikes_agree_without_a_shift(example: Any, seed: int) -> None:
    result = example.compare(seed)
    rate = result.spikes / result.entries
    print(f"seed {seed}: {result.equal:.4%} of {result.entries} equal, rate {rate:.3f}")
    assert rate > 0.002
    assert result.equal >= (0.96 if example.stays_above(seed) else 0.995)
    assert result.wrong < result.shifted / 10


def test_late_spikes_do_not_pass(example: Any) -> None:
    good = example.Comparison(wrong=4, entries=1000, shifted=100, spikes=50)
    assert example.summary([good, good])["met"]
    assert not example.summary([good, replace(good, wrong=7)])["met"]
    assert not example.summary([replace(good, shifted=3)])["met"]


def test_command_adds_its_row(example: Any, tmp_path: Path) -> None:
    path = tmp_path / "accuracy.json"
    path.write_text('{"digits": 1}')
    assert example.main(["--networks", "2", "--out", str(path)]) == 0
    rows = json.loads(path.read_text())
    assert rows["digits"] == 1
    assert rows["snntorch"]["networks"] == 2
    assert rows["snntorch"]["equal"] >= 0.995
