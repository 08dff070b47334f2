"""What a training has changed: history, numbers, and the page that shows them."""

import base64
import re
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from lessons import a_lesson, an_image
from pages import Page
from PIL import Image

from spikewright.compiler.plastic import plastic_image
from spikewright.console import Table
from spikewright.errors import DataError
from spikewright.image import CoreImage, Manifest, Population
from spikewright.learned import History, training_summary, training_tables
from spikewright.learned_report import Field, LearningReport
from spikewright.learning import LearningRule
from spikewright.sim.golden import GoldenTarget
from spikewright.spec import CoreSpec
from spikewright.training import Trained, Training

SPEC = CoreSpec(axons=4, neurons=8, lanes=8, plasticity="window")
RULE = LearningRule(w_max=100)


def small(weights: Any) -> CoreImage:
    """Two axons onto three neurons."""
    return plastic_image(SPEC, weights, rule=RULE)


BEFORE = small([[10, 20, 30], [40, 50, 60]])
AFTER = small([[100, 20, 31], [0, 45, 60]])


def history() -> History:
    found = History(BEFORE)
    found.add(0, BEFORE)
    found.add(7, AFTER)
    return found


def trained(kind: str, **options: Any) -> tuple[LearningReport, Trained]:
    """A training with its report, on the golden model."""
    spikes, rewards = a_lesson(kind, 4)
    given = {name: options.pop(name) for name in ("watch", "field") if name in options}
    training = Training(**{"image": an_image(kind), "spikes": spikes, "rewards": rewards} | options)
    report = LearningReport(training, **given)
    return report, training.run(GoldenTarget(), on_read=report.add)


def page_of(report: LearningReport, done: Trained, target: str = "golden") -> str:
    summary = training_summary(done, target, report.training.spikes.shape[1], 0.5)
    return report.render(done, summary).decode()


def test_history_of_the_plastic_weights() -> None:
    found = history()
    assert found.samples == [0, 7]
    assert found.weights.tolist() == [[10, 40, 20, 50, 30, 60], [100, 0, 20, 45, 31, 60]]
    assert found.find([(1, 2), (0, 0)]).tolist() == [5, 0]


def test_synapses_that_are_not_there_cannot_be_watched() -> None:
    with pytest.raises(DataError, match="No plastic synapses to watch") as caught:
        history().find([(0, 0), (2, 0), (1, 7)])
    assert caught.value.reasons == ("from source 2 to neuron 0", "from source 1 to neuron 7")


def test_most_changed_are_of_a_neuron_each() -> None:
    # 0 rose by 90 and, of the same neuron, 1 fell by 40; 3 fell by 5; 4 rose by 1.
    assert history().most_changed(2).tolist() == [0, 3]
    assert history().most_changed(8).tolist() == [0, 4, 3]
    still = History(BEFORE)
    still.add(0, BEFORE)
    still.add(7, BEFORE)
    assert still.most_changed(8).tolist() == []


def test_summary_in_numbers_and_words() -> None:
    spikes = np.array([3, 0, 1, 0, 0, 0, 0, 0])
    found = training_summary(Trained(BEFORE, AFTER, 7, 700, spikes), "golden", 20, 2.0)
    assert found == {
        "image": BEFORE.id,
        "learned": AFTER.id,
        "target": "golden",
        "samples": 7,
        "timesteps": 20,
        "seconds": 2.0,
        "timesteps_per_second": 70,
        "cycles_per_sample": 100.0,
        "spikes": 4,
        "synapses": {
            "plastic": 6,
            "changed": 4,
            "at_w_min": 1,
            "at_w_max": 1,
            "mean_before": 35.0,
            "mean_after": 42.6667,
        },
        "h": None,
    }
    first, table = training_tables(found)
    assert first == (
        "7 samples of 20 timesteps learned on golden: 2.00 s, 70 timesteps/s, "
        "100.0 cycles a sample, 4 spikes"
    )
    assert isinstance(table, Table)
    assert "changed           4, 66.7%" in table.text("utf-8")


def test_offsets_of_thresholds_are_told() -> None:
    _, done = trained("all", rewards=None)
    assert done.after.h is not None
    found = training_summary(done, "golden", 25, 1.0)
    assert found["h"] == {"least": done.after.h.min(), "most": done.after.h.max()}
    assert found["spikes"] == done.spikes.sum() > 0


# Fields


def field(axons: int, size: tuple[int, int] | None = None, **changes: Any) -> Any:
    found = Field.of(replace(BEFORE, **changes), axons, size)
    return None if found is None else found.shape


def test_fields_are_squares_or_as_given() -> None:
    assert [field(n) for n in (9, 18, 40, 1, 2)] == [(1, 3, 3), (2, 3, 3), None, None, None]
    assert field(40, (4, 5)) == (2, 4, 5)
    with pytest.raises(DataError, match="40 axons are no pictures of 3 x 5 pixels"):
        field(40, (3, 5))


def test_fields_of_an_input_with_a_shape() -> None:
    source = Population(name="input", first=0, count=4, shape=(2, 1, 2), axes=(1, 2, 0))
    image = replace(BEFORE, manifest=Manifest(inputs=(source,)))
    found = Field.of(image, 4, None)
    assert found is not None
    assert found.shape == (2, 1, 2)
    assert found.axons.tolist() == [0, 2, 1, 3]  # stored channel last
    given = Field.of(image, 4, (1, 4))
    assert given is not None
    assert given.axons.tolist() == [0, 1, 2, 3]


# Page


PAGES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "all": (
        {"epochs": 2, "shuffle": 3, "scale_sum": 900, "skip": 2, "every": 3},
        (
            "6 samples of 25 timesteps were shown",
            "after 2 that it had learned before",
            "read back 4 times",
            "scaled to a sum of 900",
            "2 epochs of 4 samples, shuffled by seed 3, the first 2 skipped, read back every 3",
            "with rewards",
            "threshold offset after",
            "Some that rose and some that fell most",
            "the axons form no picture",
        ),
    ),
    "window": (
        {"watch": [(0, 0), (41, 3)], "field": (5, 8)},
        (
            "Those that were asked for.",
            ">axon 0 to neuron 0<",
            ">neuron 1 to neuron 3<",
            "laid out as the input is.",
        ),
    ),
}
"""Options by kind, and what the page then says."""


@pytest.mark.parametrize("kind", PAGES)
def test_page_is_one_file_that_needs_no_other_and_says_it_all(kind: str) -> None:
    options, said = PAGES[kind]
    report, done = trained(kind, **options)
    text = page_of(report, done)
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.loads == []
    assert page.drawings == 6
    changed = int((done.before.weights != done.after.weights).sum())
    assert f"<h1>{changed:,} of 896 plastic synapses changed</h1>" in text
    assert [part for part in (done.before.id, done.after.id, *said) if part not in text] == []
    assert text.count("data:image/png;base64,") == 6  # two pictures and a colour bar, twice
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert {c for d in drawings for c in re.findall(r"(?:fill|stroke): (#\w{3,6})\b", d)} == set()


def test_page_of_a_training_that_changed_nothing_on_a_target_of_an_odd_name() -> None:
    spikes = np.zeros((1, 3, 2), np.bool_)
    training = Training(BEFORE, spikes)
    report = LearningReport(training)
    done = training.run(GoldenTarget(), on_read=report.add)
    text = page_of(report, done, target="<script>alert(1)</script>")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "<h1>0 of 6 plastic synapses changed</h1>" in text
    assert "1 sample of 3 timesteps was shown" in text
    assert "Single synapses" not in text
    assert "Recurrent weights" not in text


def test_pictures_are_the_weights() -> None:
    """Pixels of the receptive fields, decoded, are ordered as the weights."""
    rising = np.arange(0, 96, 12)
    values = np.stack([rising, rising[::-1]], axis=1)
    rule = LearningRule(w_max=100)
    spec = replace(SPEC, axons=8)
    image = plastic_image(spec, values, rule=rule)
    training = Training(image, np.zeros((1, 2, 8), np.bool_))
    report = LearningReport(training, field=(2, 4))
    text = page_of(report, training.run(GoldenTarget(), on_read=report.add))
    first = re.search(r"data:image/png;base64,([^\"]*)", text)
    assert first is not None
    with Image.open(BytesIO(base64.b64decode(first[1]))) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape == (5, 4, 3)  # one neuron's above the other's, a row apart
    first_greens, second_greens = pixels[:2, :, 1].ravel(), pixels[3:, :, 1].ravel()
    assert (np.diff(first_greens) > 0).all()  # viridis grows greener all the way
    assert (np.diff(second_greens) < 0).all()
