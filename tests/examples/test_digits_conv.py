"""The convolutional network on the digits: two epochs, and every register on the RTL."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("snntorch")

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


@pytest.fixture(scope="module")
def example() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DIGITS)
        yield importlib.import_module("conv")


def test_both_images_read_digits_and_match_the_rtl(example: Any) -> None:
    run = example.measure(0, quick=True)
    print(run)
    accuracy = run["accuracy"]
    assert run["differences"] == 0
    assert accuracy["float"] > 0.6
    assert all(accuracy[name] > accuracy["float"] - 0.05 for name in example.ROW.bars)


def test_bars_and_differences_count(example: Any) -> None:
    row = example.ROW
    accuracy = {"float": 0.98, "8 bit rounded": 0.979, "4 bit rounded": 0.976}
    run = {"seed": 0, "accuracy": accuracy, "differences": 0, "seconds": 1.0}
    assert row.summary([run])["met"]
    assert not row.summary([run, run | {"differences": 1}])["met"]
    assert not row.summary([run, run | {"accuracy": accuracy | {"4 bit rounded": 0.973}}])["met"]


def test_every_run_starts_from_a_cleared_state(example: Any) -> None:
    torch.manual_seed(1)
    network = example.layers(importlib.import_module("train").Settings())
    for parameter in network.parameters():
        parameter.data *= 4
    spikes = torch.from_numpy((np.random.default_rng(1).random((3, 8, 64)) < 0.5).astype("f4"))
    with torch.no_grad():
        once, again = example.run(network, spikes), example.run(network, spikes)
    assert once.any()
    assert torch.equal(once, again)
    assert once.shape == (3, 8, 10)


def test_pool_folds_into_the_convolution_after_it(example: Any) -> None:
    network = example.layers(importlib.import_module("train").Settings())
    image = example.compiled(network)
    sizes = [population.count for population in image.manifest.populations]
    assert sizes == [8 * 64, 16 * 16, 10]
