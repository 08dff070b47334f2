"""The digits at few bits: one epoch of everything, and the figures that come of it."""

from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("snntorch")


@pytest.fixture(scope="module")
def qat(digits: Any) -> Any:
    return digits.qat


def test_what_is_trained_is_what_runs(qat: Any) -> None:
    run = qat.measure(0, quick=True)
    print(run)
    accuracy = run["accuracy"]
    assert run["differences"] == 0
    assert accuracy["float"] > 0.6
    assert all(accuracy[name] > accuracy["float"] - 0.1 for name in qat.ROW.bars)
    assert accuracy["2 bit trained"] > accuracy["2 bit rounded"]


def test_bars_of_rounding_count_from_float(qat: Any) -> None:
    accuracy = {"float": 0.98, "8 bit rounded": 0.979, "4 bit rounded": 0.976}
    accuracy |= {"3 bit trained": 0.97, "2 bit trained": 0.95}
    run = {"seed": 0, "accuracy": accuracy, "differences": 0, "seconds": 1.0}
    result = qat.ROW.summary([run, run])
    assert result["met"]
    assert result["bars"]["8 bit rounded"] == pytest.approx(0.978)
    assert not qat.ROW.summary([run, run | {"differences": 1}])["met"]
    for name in qat.ROW.bars:
        worse = run | {"accuracy": accuracy | {name: accuracy[name] - 0.01}}
        assert not qat.ROW.summary([run, worse])["met"], name
