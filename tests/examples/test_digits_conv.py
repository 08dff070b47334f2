"""The convolutional network on the digits: two epochs, and every register on the RTL."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("snntorch")


@pytest.fixture(scope="module")
def conv(digits: Any) -> Any:
    return digits.conv


def test_both_images_read_digits_and_match_the_rtl(conv: Any) -> None:
    run = conv.measure(0, quick=True)
    print(run)
    accuracy = run["accuracy"]
    assert run["differences"] == 0
    assert accuracy["float"] > 0.6
    assert all(accuracy[name] > accuracy["float"] - 0.05 for name in conv.ROW.bars)


def test_bars_and_differences_count(conv: Any) -> None:
    row = conv.ROW
    accuracy = {"float": 0.98, "8 bit rounded": 0.979, "4 bit rounded": 0.976}
    run = {"seed": 0, "accuracy": accuracy, "differences": 0, "seconds": 1.0}
    assert row.summary([run])["met"]
    assert not row.summary([run, run | {"differences": 1}])["met"]
    assert not row.summary([run, run | {"accuracy": accuracy | {"4 bit rounded": 0.973}}])["met"]


def test_every_run_starts_from_a_cleared_state(conv: Any, digits: Any) -> None:
    torch.manual_seed(1)
    network = conv.layers(digits.train.Settings())
    for parameter in network.parameters():
        parameter.data *= 4
    spikes = torch.from_numpy((np.random.default_rng(1).random((3, 8, 64)) < 0.5).astype("f4"))
    with torch.no_grad():
        once, again = conv.run(network, spikes), conv.run(network, spikes)
    assert once.any()
    assert torch.equal(once, again)
    assert once.shape == (3, 8, 10)


def test_pool_folds_into_the_convolution_after_it(conv: Any, digits: Any) -> None:
    network = conv.layers(digits.train.Settings())
    image = conv.compiled(network)
    sizes = [population.count for population in image.manifest.populations]
    assert sizes == [8 * 64, 16 * 16, 10]
