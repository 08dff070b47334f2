"""What `spikewright info` says of a core that learns."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from plastic_images import RULE, WINDOW, learned_image, plastic_image

from spikewright.cli import main
from spikewright.learning import LearningRule
from spikewright.sim.cases import draw_case
from spikewright.spec import CoreSpec


def test_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "learned.core"
    learned_image().save(path)
    assert main(["info", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["winners"] == [0, 3]
    learning = said["learning"]
    assert (learning["plastic"], learning["sources"], learning["opposite"]) == (3, 1, 1)
    assert learning["rule"] == {
        name: value
        for name, value in asdict(learned_image().rule or RULE).items()
        if name not in ("pre_change", "post_change")
    }
    assert main(["info", str(path)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for line in (
        "plastic synapses 3",
        "sources that learn 1, 1 of them opposite",
        "winners 3 of level 1",
        "Learning by trace",
        "pre_step 1023 15.98",
        "a_post 2048 0.5",
        "w_min -128",
        "keep_sign false",
    ):
        assert line in lines


def test_info_of_windows_counts_timesteps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "window.core"
    rule = LearningRule(w_min=-4, w_max=3, pre_step=20, post_change=96)
    plastic_image(WINDOW, rule=rule).save(path)
    assert main(["info", str(path)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert {"Learning by window", "pre_step 20", "post_change 96 1.5"} <= set(lines)
    assert not any(line.startswith(("winners", "seed")) for line in lines)


def test_info_of_an_image_that_does_not_learn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plain.core"
    draw_case(1, spec=CoreSpec()).image.save(path)
    assert main(["info", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["learning"], said["winners"]) == (None, [])
    assert main(["info", str(path)]) == 0
    assert "plastic" not in capsys.readouterr().out
