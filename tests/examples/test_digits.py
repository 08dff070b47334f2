"""The digits: data, trained network, and the demo over a few images on every target."""

import importlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import Page

from spikewright.console import Console
from spikewright.image import CoreImage

SUMMARY = {
    "float_accuracy",
    "golden_accuracy",
    "rtl_images",
    "rtl_differences",
    "board_images",
    "board_differences",
    "cycles_per_image",
    "seconds",
}


@pytest.fixture(scope="module")
def image(digits: Any) -> CoreImage:
    training, _ = digits.data.load()
    compiled: CoreImage = digits.stages.compile_digits(training)
    return compiled


@pytest.fixture(scope="module")
def demo(digits: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Folder and evidence of a short demo."""
    folder = tmp_path_factory.mktemp("demo") / "new"
    evidence = digits.demo.run_demo(folder, Console(), rtl_images=4, board_images=2)
    return folder, evidence


# Data


def test_split_is_whole_fixed_and_in_proportion(digits: Any) -> None:
    training, test = digits.data.load()
    assert (len(training), len(test)) == (1203, 594)
    every = np.concatenate([training.pixels, test.pixels])
    known = importlib.import_module("sklearn.datasets").load_digits().data
    assert np.array_equal(np.unique(every, axis=0), np.unique(known.astype(np.uint8), axis=0))
    shares = np.bincount(test.labels) / np.bincount(np.r_[training.labels, test.labels])
    assert np.allclose(shares, 594 / 1797, atol=0.005)
    assert np.array_equal(digits.data.load()[1].pixels, test.pixels)


def test_split_keeps_test_images_out_of_training(digits: Any) -> None:
    training, test = digits.data.load()
    seen = {row.tobytes() for row in training.pixels}
    assert not any(row.tobytes() in seen for row in test.pixels)


def test_encode_spikes_as_often_as_a_pixel_is_bright(digits: Any) -> None:
    pixels = np.arange(17, dtype=np.uint8).repeat(4)[None, :64]
    spikes = digits.data.encode(pixels)
    assert (spikes.shape, spikes.dtype) == ((1, 16, 64), np.bool_)
    assert np.array_equal(spikes.sum(axis=1), pixels)


@pytest.mark.parametrize("level", range(2, 17))
def test_encode_spaces_spikes_evenly(digits: Any, level: int) -> None:
    train = digits.data.encode(np.full((1, 64), level, np.uint8))[0, :, 0]
    gaps = np.diff(np.flatnonzero(train))
    assert len(gaps) == level - 1
    assert gaps.max(initial=0) - gaps.min(initial=16) <= 1


# Network


def test_float_is_as_good_as_the_training_said(digits: Any) -> None:
    stage = digits.stages.reference(digits.data.load()[1])
    assert stage.images == 594
    assert stage.accuracy >= 0.97
    # Sums are rounded in an order that depends on the machine: an image may tip over.
    assert abs(stage.accuracy - digits.model.semantics()["float_accuracy"]) <= 1.5 / 594


def test_integers_are_within_half_a_point_of_float(digits: Any, image: CoreImage) -> None:
    _, test = digits.data.load()
    golden = digits.stages.on_target("golden", image, test, None, Console(), images=594, with_v=1)
    assert image.spec.weight_bits == 8
    assert abs(golden.accuracy - digits.stages.reference(test).accuracy) <= 0.005


def test_classify_gives_the_lowest_digit_of_a_tie(digits: Any) -> None:
    output = np.zeros((3, 4, 10), np.bool_)
    output[0, :2, [7, 4]] = True
    output[1, 0, 3] = output[1, :3, 9] = True
    assert digits.model.classify(output).tolist() == [4, 9, 0]


def test_numpy_computes_what_snntorch_trains(digits: Any) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("snntorch")
    torch.manual_seed(7)
    network = digits.train.SpikingNetwork(digits.train.Settings())
    _, test = digits.data.load()
    theirs = digits.train.evaluate(network, test)
    graph = digits.train.to_nir(network)
    ours = digits.model.run_float(digits.data.encode(test.pixels), graph, digits.train.DT)
    assert theirs.hidden.any()
    assert (ours.hidden != theirs.hidden).mean() <= digits.train.TOLERANCE
    assert (ours.output != theirs.output).mean() <= digits.train.TOLERANCE


# Demo


def test_demo_finds_every_target_equal(demo: tuple[Path, Any]) -> None:
    folder, evidence = demo
    summary = json.loads((folder / "summary.json").read_text())
    assert summary.keys() == SUMMARY
    assert summary["golden_accuracy"] >= 0.97
    assert (summary["rtl_images"], summary["rtl_differences"]) == (4, 0)
    assert (summary["board_images"], summary["board_differences"]) == (2, 0)
    assert 1000 < summary["cycles_per_image"] < 20_000
    assert evidence.is_equal
    neurons = evidence.image.spec.neurons
    assert evidence.rtl.compared == 4 * (3 * 16 * neurons + 2 * (16 + 1))
    assert evidence.board.compared == 2 * (3 * 16 * neurons + 2)
    assert evidence.lockstep.timesteps == 4 * 16


def test_differences_are_counted_one_by_one(digits: Any, image: CoreImage) -> None:
    _, test = digits.data.load()

    def run(image: CoreImage, golden: Any) -> Any:
        return digits.stages.on_target("golden", image, test, golden, Console(), images=3, with_v=3)

    right = run(image, None)
    wrong = run(replace(image, v_threshold=image.v_threshold // 2), right)
    unequal = [
        np.count_nonzero(getattr(right.result, name) != getattr(wrong.result, name))
        for name in ("spikes", "v", "cycles", "total_cycles")
    ]
    assert min(unequal) > 0
    # Spikes and cycles come from both runs, membrane potentials from the one that records them.
    assert wrong.differences == 2 * sum(unequal) - unequal[1]


def test_demo_fails_on_a_difference(
    digits: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = digits.stages.on_target

    def other_image_on_the_board(name: str, image: CoreImage, *rest: Any, **more: Any) -> Any:
        if name == "virtual":
            image = replace(image, v_threshold=image.v_threshold // 2)
        return real(name, image, *rest, **more)

    monkeypatch.setattr(digits.demo, "on_target", other_image_on_the_board)
    arguments = ["--output", str(tmp_path), "--rtl-images", "1", "--board-images", "1"]
    assert digits.demo.main(arguments) == 1
    assert json.loads((tmp_path / "summary.json").read_text())["board_differences"] > 0
    assert "NO," in capsys.readouterr().out
    assert "RTL and board differ" in (tmp_path / "report.html").read_text()


# Report


def test_report_is_one_file_that_needs_no_other(demo: tuple[Path, Any]) -> None:
    folder, _ = demo
    text = (folder / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.loads == []
    assert "@import" not in text
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    assert page.drawings >= 4
    assert "RTL and board: no difference" in text


def test_report_takes_all_colours_of_figures_from_its_style_sheet(demo: tuple[Path, Any]) -> None:
    folder, _ = demo
    drawings = re.findall(r"<svg.*?</svg>", (folder / "report.html").read_text(), re.DOTALL)
    colours = {c for d in drawings for c in re.findall(r"(?:fill|stroke): (#\w{3,6})\b", d)}
    assert colours == set()


def test_report_escapes_text(digits: Any, demo: tuple[Path, Any], tmp_path: Path) -> None:
    _, evidence = demo
    source = {"name": "<script>alert(1)</script>", "sha256": "0"}
    manifest = evidence.image.manifest.model_copy(update={"source": source})
    image = replace(evidence.image, manifest=manifest)
    digits.report.write_report(tmp_path / "page.html", replace(evidence, image=image))
    text = (tmp_path / "page.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_confusion_counts_every_image_once(digits: Any, demo: tuple[Path, Any]) -> None:
    _, evidence = demo
    counts = digits.report.confusion(evidence)
    assert counts.sum() == 594
    assert np.trace(counts) == round(evidence.golden.accuracy * 594)
    assert np.array_equal(counts.sum(axis=1), np.bincount(evidence.test.labels))


def test_layer_weights_are_the_graphs_own_rounded(digits: Any, demo: tuple[Path, Any]) -> None:
    _, evidence = demo
    graph = importlib.import_module("nir").read(digits.model.GRAPH)
    found = digits.report.layer_weights(evidence.image)
    for (title, raw), layer, node in zip(
        found.items(), ("hidden", "output"), ("fc1", "fc2"), strict=True
    ):
        scale = np.array(evidence.image.manifest.scales[layer])
        real = graph.nodes[node].weight.T
        assert raw.shape == real.shape, title
        assert np.abs(raw * scale - real).max() <= 0.501 * scale.max()
        assert (np.abs(raw).max(axis=0) == 127).all()
