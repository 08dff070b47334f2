"""What the learning examples share: two targets that do not the same are caught, rows add up."""

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikewright.compiler.plastic import plastic_image
from spikewright.errors import SpikewrightError
from spikewright.learning import LearningRule
from spikewright.spec import CoreSpec

pytest.importorskip("matplotlib")

LEARNING = Path(__file__).parents[2] / "examples" / "learning"
SPEC = CoreSpec(axons=4, neurons=8, plasticity="window")
SPIKES = np.ones((2, 5, 4), bool)


@pytest.fixture(scope="module")
def common() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(LEARNING)
        yield importlib.import_module("common")


def image(post_change: int) -> Any:
    rule = LearningRule(pre_step=1, w_max=127, post_change=post_change << SPEC.trace_fraction_bits)
    return plastic_image(SPEC, np.ones((4, 8), int), rule=rule, v_threshold=1)


@pytest.mark.parametrize(("other", "differs"), [(1, False), (2, True)])
def test_targets_that_differ_are_caught(common: Any, other: int, differs: bool) -> None:
    options = argparse.Namespace(target="golden", compare="golden")
    with common.Cores(options) as cores:
        cores.load(image(1))
        cores._targets[1].load(image(other))
        result = cores.run(SPIKES, learn=True)
        assert result.spikes.all()
        assert cores.differences == 0
        cores.learned_image()
    assert (cores.differences > 0) == differs
    assert cores.verdict == [f"{cores.differences} differences between golden and golden"]


def test_rows_join_those_of_others(common: Any, tmp_path: Path) -> None:
    common.save_row(tmp_path / "new", "one", {"accuracy": 0.5})
    common.save_row(tmp_path / "new", "two", {"accuracy": 0.25})
    common.save_row(tmp_path / "new", "one", {"accuracy": 0.75})
    found = json.loads((tmp_path / "new" / "learn.json").read_text())
    assert found == {"one": {"accuracy": 0.75}, "two": {"accuracy": 0.25}}


def test_a_missed_bar_and_an_error_are_exit_code_1(
    common: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(options: argparse.Namespace, console: Any) -> bool:
        raise SpikewrightError(f"Cannot run on {options.target}.")

    assert common.command("", lambda options, console: True, []) == 0
    assert common.command("", lambda options, console: False, []) == 1
    assert common.command("", fail, ["--target", "nowhere"]) == 1
    assert "Cannot run on nowhere." in capsys.readouterr().err
