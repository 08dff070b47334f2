"""The least weight bits: on networks whose decisions need a known number of them."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from networks import affine, chain, neuron, options, simulate

from spikewright.compiler import CompileReport, compile_network
from spikewright.compiler.graph import Input, Network, Node, Output
from spikewright.compiler.report import BitsSearch
from spikewright.compiler.search import least_bits
from spikewright.errors import DataError, ModelError
from spikewright.image import CoreImage
from spikewright.sim.golden import GoldenTarget

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


def network() -> Network:
    """Ten lines to four neurons, of which any may win."""
    weight = np.random.default_rng(5).normal(size=(4, 10))
    return chain(affine(weight), neuron(n=4))


def float_decisions(spikes: Bools) -> Ints:
    """Of :func:`network`, from NIR's definitions."""
    counts = [simulate(network(), [["n1"]], {"in": each})[0]["n1"].sum(axis=0) for each in spikes]
    decided: Ints = np.argmax(counts, axis=1)
    return decided


def stimulus(samples: int = 70) -> tuple[Bools, Ints]:
    """More samples than run at once; every third label is another than float's decision."""
    rng = np.random.default_rng(1)
    spikes = rng.random((samples, 40, 10)) < rng.random((samples, 1, 10))
    labels = float_decisions(spikes)
    labels[::3] = (labels[::3] + 1) % 4
    return spikes, labels


def search_of(image: CoreImage) -> BitsSearch:
    found = CompileReport.of(image).search
    assert found is not None
    return found


def decisions(image: CoreImage, spikes: Bools) -> Ints:
    target = GoldenTarget()
    target.load(image)
    run = target.run(spikes).spikes
    (where,) = image.output_slices.values()
    decided: Ints = run[..., where].sum(axis=1).argmax(axis=1)
    return decided


@pytest.mark.parametrize("has_labels", [False, True])
@pytest.mark.parametrize("keep", [0.0, 1.5, 20.0, 100.0])
def test_the_first_bits_that_are_good_enough(has_labels: bool, keep: float) -> None:
    spikes, labels = stimulus()
    given = labels if has_labels else None
    image = least_bits(network(), options(), spikes, given, keep=keep)
    search = search_of(image)
    assert (search.samples, search.keep) == (70, keep)
    assert search.measure == ("accuracy" if has_labels else "agreement")
    right = labels if has_labels else float_decisions(spikes)
    assert search.reference == (float_decisions(spikes) == right).mean()
    assert [trial.weight_bits for trial in search.tried] == [*range(2, image.spec.weight_bits + 1)]
    enough = [trial.share >= search.reference - keep / 100 for trial in search.tried if trial.share]
    assert enough == [False] * (len(enough) - 1) + [True]
    for trial in search.tried:
        other = compile_network(network(), options(weight_bits=trial.weight_bits))
        assert trial.share == (decisions(other, spikes) == right).mean()


def test_more_bits_where_less_may_be_lost() -> None:
    spikes, _ = stimulus()
    bits = [
        least_bits(network(), options(), spikes, keep=keep).spec.weight_bits
        for keep in (100.0, 3.0, 0.0)
    ]
    assert bits == sorted(bits)
    assert len(set(bits)) == 3


def test_the_image_is_that_of_a_compilation_with_these_bits(tmp_path: Path) -> None:
    spikes, _ = stimulus()
    image = least_bits(network(), options(), spikes, dump_passes=tmp_path / "passes")
    formats = {"weight_bits": image.spec.weight_bits}
    plain = compile_network(
        network(), options(**formats), calibration=spikes, dump_passes=tmp_path / "plain"
    )
    report = CompileReport.of(image)
    assert replace(report, search=None) == CompileReport.of(plain)
    assert image.spec == plain.spec
    for name, array in plain.arrays.items():
        np.testing.assert_array_equal(image.arrays[name], array)
    names = [sorted(path.name for path in (tmp_path / x).iterdir()) for x in ("passes", "plain")]
    assert names[0] == names[1]
    image.save(tmp_path / "image.core")
    assert CompileReport.of(CoreImage.load(tmp_path / "image.core")) == report


def test_bits_that_are_refused_are_passed_over() -> None:
    """With 0 fraction bits a threshold of 0.3 is below one state step until there are 4 bits."""
    spikes = np.ones((2, 20, 1), np.bool_)
    small = chain(affine([[1.0]]), neuron("IF", v_threshold=0.3))
    image = least_bits(small, options(fraction_bits=0), spikes)
    assert [trial.share for trial in search_of(image).tried] == [None, None, 1.0]
    assert "v_threshold must be at least one state step" in search_of(image).tried[0].refused


def two_outputs() -> Network:
    """:func:`network`, and an output that any number of bits holds exactly."""
    nodes: dict[str, Node] = {
        "in": Input((10,)),
        "fa": affine(np.eye(3, 10)),
        "fb": network().nodes["n0"],
        "a": neuron("IF", 3),
        "b": neuron(n=4),
        "oa": Output((3,)),
        "ob": Output((4,)),
    }
    return Network(
        nodes,
        (("in", "fa"), ("in", "fb"), ("fa", "a"), ("fb", "b"), ("a", "oa"), ("b", "ob")),
    )


def test_of_several_outputs_the_worst_counts() -> None:
    spikes, _ = stimulus()
    both, one = (
        search_of(least_bits(source, options(), spikes, keep=0.0)).tried
        for source in (two_outputs(), network())
    )
    assert both == one
    assert len(both) > 1


SPIKES, LABELS = stimulus(5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"options": options(weight_bits=4)}, "searched for, so they must not be 4"),
        ({"keep": -1.0}, r"keep must be 0 to 100 percentage points, not -1\.0"),
        ({"keep": float("nan")}, "keep must be 0 to 100 percentage points, not nan"),
        ({"source": chain(affine([[1.0] * 10]), neuron("LI"))}, "Output 'n1' does not spike"),
        ({"source": two_outputs(), "labels": LABELS}, "one output, and there are 2: a, b"),
        ({"spikes": SPIKES[0]}, r"bool\[samples, timesteps, 10\].* not bool\[40, 10\]"),
        ({"spikes": SPIKES[:, :0]}, r"none of them 0, not bool\[5, 0, 10\]"),
        ({"spikes": SPIKES * 1.0}, r"not float64\[5, 40, 10\]"),
        ({"spikes": SPIKES[..., :9]}, r"not bool\[5, 40, 9\]"),
        ({"labels": LABELS[1:]}, r"Labels must be int\[5\], .* not int64\[4\]"),
        ({"labels": LABELS * 1.0}, r"not float64\[5\]"),
        ({"labels": LABELS + 4}, r"\[0, 3\], neurons of output 'n1', not [4-7] to [4-7]"),
        ({"labels": LABELS - 4}, "not -[1-4] to"),
    ],
)
def test_wrong_arguments(given: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {
        "source": network(),
        "options": options(),
        "spikes": SPIKES,
        "labels": None,
    }
    with pytest.raises((ModelError, DataError), match=message) as error:
        least_bits(**(right | given))
    assert error.value.hint


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        # In float64 three times 0.1 is above 0.3: neuron 1 spikes every three timesteps, not four.
        (chain(affine([[0.08], [0.1]]), neuron("IF", 2, v_threshold=0.3)), r"0\.00%$"),
        (chain(affine([[1e-9]], 1.0), neuron()), "Node 'n1': all weights into it round to 0"),
    ],
)
def test_where_no_bits_do_the_error_says_what_each_gave(source: Network, reason: str) -> None:
    spikes = np.ones((2, 24, 1), np.bool_)
    with pytest.raises(ModelError, match=r"No weight_bits keep the share .* float's") as error:
        least_bits(source, options(), spikes, keep=0.0)
    assert len(error.value.reasons) == 15
    for bits, text in enumerate(error.value.reasons, 2):
        assert re.match(f"{bits} bits: {reason}", text)
    assert error.value.hint
