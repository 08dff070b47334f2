"""Images of cores that learn: rules, plastic synapses, what is refused, files."""

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plastic_images import (
    EVERYTHING,
    RULE,
    TRACE,
    WINDOW,
    learned_image,
    plastic_image,
    rewritten,
)

from spikewright.errors import ImageError
from spikewright.image import CoreImage
from spikewright.learning import LearningRule
from spikewright.sim.cases import draw_case, draw_spec
from spikewright.spec import CoreSpec, Region


def reasons(spec: CoreSpec = TRACE, **changes: Any) -> tuple[str, ...]:
    with pytest.raises(ImageError) as error:
        plastic_image(spec, **changes)
    assert error.value.what == "Core image is not valid for its spec:"
    return error.value.reasons


# Files


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "learned.core"
    image = learned_image()
    image.save(path)
    loaded = CoreImage.load(path)
    assert loaded.id == image.id
    assert loaded.rule == image.rule
    assert all(np.array_equal(loaded.arrays[name], image.arrays[name]) for name in image.arrays)
    assert {"plastic", "opposite", "eligibility", "h", "h_step", "level_winners"} <= set(
        loaded.arrays
    )


@pytest.mark.parametrize("seed", range(20))
def test_round_trip_of_random_images(seed: int) -> None:
    spec = draw_spec(np.random.default_rng(seed), most=64, plastic=True)
    image = draw_case(seed, spec=spec).image
    loaded = CoreImage.from_bytes(image.to_bytes())
    assert (loaded.id, loaded.rule) == (image.id, image.rule)


def test_arrays_and_rule_have_defaults() -> None:
    image = plastic_image(EVERYTHING, plastic=None, opposite=None, rule=None)
    assert image.rule == LearningRule()
    for name in ("plastic", "opposite", "eligibility", "h", "h_step", "level_winners"):
        assert not image.arrays[name].any()
    assert CoreImage.from_bytes(image.to_bytes()).id == image.id


def test_id_covers_rule_and_arrays() -> None:
    image = learned_image()
    assert image.rule is not None
    changed = replace(image.rule, seed=1), replace(image.rule, post_lowers=True)
    ids = {image.id, *(replace(image, rule=rule).id for rule in changed)}
    for name in ("plastic", "opposite", "eligibility", "h", "h_step", "level_winners"):
        array = image.arrays[name].copy()
        array.flat[0] = array.flat[0] == 0
        change: dict[str, Any] = {name: array}
        ids.add(replace(image, **change).id)
    assert len(ids) == 9


def test_any_flipped_bit_is_an_error() -> None:
    data = learned_image().to_bytes()
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ImageError):
            CoreImage.from_bytes(bytes(damaged))


@pytest.mark.parametrize("raw", [None, [], ["seed"], [["seed", 1]], "", "seed", 5, True, 1.5])
def test_rule_in_a_file_must_be_an_object(raw: Any) -> None:
    message = r"^Learning rule must be a mapping of fields, not "
    with pytest.raises(ImageError, match=message):
        CoreImage.from_bytes(rewritten(learned_image(), rule=raw))
    with pytest.raises(ImageError, match=message):
        LearningRule.from_dict(raw)


def test_unknown_fields_of_a_rule_are_named() -> None:
    with pytest.raises(ImageError, match=r"^Learning rule has unknown fields: 'a_trace', 'x'\."):
        LearningRule.from_dict({"x": 1, "a_trace": 2, "seed": 3})
    with pytest.raises(ImageError, match=r"^Learning rule has unknown fields: '\\ud800'\."):
        CoreImage.from_bytes(rewritten(learned_image(), rule={"\ud800": 1}))


WRONG: tuple[Any, ...] = (
    None,
    "1",
    1.0,
    [1],
    {},
    float("nan"),
    float("inf"),
    1 << 40,
    -(1 << 40),
    10**4000,
)


@pytest.mark.parametrize("name", [field.name for field in fields(LearningRule)])
def test_wrong_values_of_a_rule_in_a_file(name: str) -> None:
    image = learned_image()
    is_flag = isinstance(getattr(LearningRule(), name), bool)
    for value in (*WRONG, 1 if is_flag else True):
        rule = asdict(image.rule or LearningRule()) | {name: value}
        with pytest.raises(ImageError) as error:
            CoreImage.from_bytes(rewritten(image, rule=rule))
        assert any(f"rule.{name} " in reason for reason in error.value.reasons), value


def test_rule_that_is_missing_or_too_much() -> None:
    defaults = plastic_image(rule=LearningRule(), plastic=None)
    for image in (learned_image(), defaults):
        with pytest.raises(ImageError):
            CoreImage.from_bytes(rewritten(image, rule=...))
    plain = draw_case(1, spec=CoreSpec()).image
    with pytest.raises(ImageError) as error:
        CoreImage.from_bytes(rewritten(plain, rule=asdict(LearningRule())))
    assert error.value.reasons == ("rule needs a spec with plasticity",)


# Checks against the spec


@pytest.mark.parametrize("rule", [5, "rule", {"seed": 1}, [RULE], LearningRule])
def test_rule_must_be_one(rule: Any) -> None:
    assert reasons(rule=rule) == (f"rule must be a LearningRule, not {rule!r:.40}",)


def test_what_learns_needs_a_spec_that_learns() -> None:
    plain = replace(TRACE, plasticity="none")
    assert reasons(plain, rule=None) == (
        "plastic must be None for a spec without plasticity",
        "opposite must be None for a spec without plasticity",
    )
    assert reasons(plain, rule=RULE, plastic=None, opposite=None) == (
        "rule needs a spec with plasticity",
    )
    for name, option, shape in (
        ("eligibility", "reward", (4, 2)),
        ("h", "adaptive_threshold", 4),
        ("h_step", "adaptive_threshold", 4),
        ("level_winners", "winners", 2),
    ):
        wanted = (f"{name} must be None for a spec without {option}",)
        assert reasons(TRACE, **{name: np.zeros(shape, int)}) == wanted


@pytest.mark.parametrize(
    ("spec", "name", "value", "message"),
    [
        (TRACE, "pre_step", 1024, "must be in [0, 1023], not 1024"),
        (TRACE, "post_step", -1, "must be in [0, 1023], not -1"),
        (TRACE, "a_pre", 4097, "must be in [0, 4096], not 4097"),
        (TRACE, "a_post", -1, "must be in [0, 4096], not -1"),
        (TRACE, "w_min", -129, "must be in [-128, 127], not -129"),
        (TRACE, "w_max", 128, "must be in [-128, 127], not 128"),
        (TRACE, "seed", 1 << 32, "must be in [1, 4294967295], not 4294967296"),
        (TRACE, "seed", -1, "must be in [1, 4294967295], not -1"),
        (TRACE, "pre_step", 1.0, "must be an integer, not 1.0"),
        (TRACE, "pre_step", True, "must be an integer, not True"),
        (TRACE, "nearest", 1, "must be true or false, not 1"),
        (TRACE, "keep_sign", None, "must be true or false, not None"),
        (TRACE, "pre_change", 1, "needs a spec with plasticity 'window'"),
        (TRACE, "post_change", 1, "needs a spec with plasticity 'window'"),
        (TRACE, "soft", True, "needs a spec with soft_bounds"),
        (TRACE, "stochastic", True, "needs a spec with stochastic_rounding"),
        (TRACE, "a_eligibility", 1, "needs a spec with reward"),
        (TRACE, "a_h", 0, "needs a spec with adaptive_threshold"),
        (WINDOW, "pre_step", 1024, "must be in [0, 1023], not 1024"),
        (WINDOW, "post_step", 1024, "must be in [0, 1023], not 1024"),
        (WINDOW, "post_change", 1024, "must be in [0, 1023], not 1024"),
        (WINDOW, "a_pre", 1, "needs a spec with plasticity 'trace'"),
        (WINDOW, "a_post", 1, "needs a spec with plasticity 'trace'"),
        (WINDOW, "nearest", True, "needs a spec with plasticity 'trace'"),
        (EVERYTHING, "a_eligibility", 4097, "must be in [0, 4096], not 4097"),
        (EVERYTHING, "a_h", 4097, "must be in [0, 4096], not 4097"),
    ],
)
def test_rules_that_a_core_cannot_do(spec: CoreSpec, name: str, value: Any, message: str) -> None:
    bounds = LearningRule(w_min=-128, w_max=127)
    assert reasons(spec, rule=replace(bounds, **{name: value})) == (f"rule.{name} {message}",)


def test_window_as_long_as_a_trace_holds() -> None:
    rule = LearningRule(w_min=-128, w_max=127, pre_step=1023, post_step=1023)
    assert plastic_image(WINDOW, rule=rule).rule == rule


def test_all_faults_of_a_rule_are_listed() -> None:
    rule = replace(RULE, pre_step=-1, soft=True, a_pre=5000)
    assert [reason.split()[0] for reason in reasons(rule=rule)] == [
        "rule.pre_step",
        "rule.a_pre",
        "rule.soft",
    ]


def test_register_of_stochastic_rounding_must_not_be_zero() -> None:
    rule = replace(RULE, seed=0)
    assert plastic_image(EVERYTHING, rule=rule).rule == rule
    assert reasons(EVERYTHING, rule=replace(rule, stochastic=True)) == (
        "rule.seed must be in [1, 4294967295], not 0",
    )


def test_bounds_must_contain_the_plastic_weights() -> None:
    def fault(low: int, high: int, weight: int, word: int, lane: int) -> tuple[str, ...]:
        return (
            f"plastic weights must be in [{low}, {high}], the rule's bounds, "
            f"not {weight} as in word {word}, lane {lane}",
        )

    assert reasons(rule=replace(RULE, w_max=2)) == fault(-128, 2, 3, 1, 0)
    assert reasons(rule=replace(RULE, w_min=-3)) == fault(-3, 127, -4, 1, 1)
    assert reasons(rule=None) == fault(0, 0, 1, 0, 0)
    plastic_image(rule=replace(RULE, w_min=-4, w_max=3))  # 127 and -128 are not plastic
    assert reasons(rule=replace(RULE, w_min=5, w_max=4)) == (
        "rule.w_min (5) must not be above w_max (4)",
    )


def test_rows_that_learn_share_no_words() -> None:
    message = ("rows with plastic synapses must not share words, as word 1",)
    assert reasons(first_word=[0, 1, 0, 0, 0, 0]) == message
    plastic_image(first_word=[0, 2, 2, 0, 0, 0], word_count=[2, 2, 2, 0, 0, 0])


def test_paired_rows_are_at_their_places() -> None:
    spec = replace(TRACE, paired_rows=True, weight_words=0)
    plastic_image(spec, first_word=[0, 2, 9, 0, 0, 0])
    plastic_image(
        spec,
        first_group=[0, 1, 0, 0, 0, 0],
        first_word=[0, 3, *[0] * 4],
        word_count=[2, 1, *[0] * 4],
    )
    assert reasons(spec, first_word=[0, 1, 0, 0, 0, 0]) == (
        "row of source 1 must begin at word 2, which is its place with paired_rows, not at 1",
    )


def test_no_plastic_synapse_of_paired_rows_is_in_no_row() -> None:
    stray: dict[str, Any] = {
        "plastic": [[1, 0], [1, 1], [0, 1], [0, 0]],
        "word_count": [2, 0, 0, 0, 0, 0],
    }
    plastic_image(**stray)
    assert reasons(replace(TRACE, paired_rows=True, weight_words=0), **stray) == (
        "plastic synapses must be in rows with paired_rows, as those of word 2 are not",
    )


@pytest.mark.parametrize("paired_rows", [False, True])
def test_rows_past_the_words_are_named(paired_rows: bool) -> None:
    spec = replace(TRACE, paired_rows=paired_rows, weight_words=0)
    first, *_ = reasons(spec, first_word=[60_000, 2, 0, 0, 0, 0])
    assert first == "row of source 0 must end within 4 words, not 60002"


@pytest.mark.parametrize("name", ["a_pre", "a_post", "a_eligibility", "a_h"])
def test_shift_decay(name: str) -> None:
    spec = replace(EVERYTHING, decay="shift")
    rule = replace(RULE, a_pre=4095, a_post=2048, a_eligibility=0, a_h=4096)
    plastic_image(spec, rule=rule)
    change: dict[str, Any] = {name: 3000}
    assert reasons(spec, rule=replace(rule, **change)) == (
        f"rule.{name} must be 0, 4096 or 4096 - 4096 / 2**k for a spec with shift decay",
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("plastic", [[2, 0]] * 4, "plastic must be in [0, 1], not 0 to 2"),
        ("plastic", [[1, 0]], "plastic must have shape (4, 2), not (1, 2)"),
        ("plastic", [[0.5, 0]] * 4, "plastic must be integers, not float64"),
        ("opposite", [2, 0, 0, 0, 0, 0], "opposite must be in [0, 1], not 0 to 2"),
        ("opposite", [1, 0], "opposite must have shape (6,), not (2,)"),
        ("eligibility", [[1024, 0]] * 4, "eligibility must be in [-1024, 1023], not 0 to 1024"),
        ("eligibility", [[0, 0]], "eligibility must have shape (4, 2), not (1, 2)"),
        ("h", [-1, 0, 0, 0], "h must be in [0, 2047], not -1 to 0"),
        ("h_step", [0, 0, 0, 2048], "h_step must be in [0, 2047], not 0 to 2048"),
        ("level_winners", [4, 0], "level_winners must be in [0, 3], not 0 to 4"),
        ("level_winners", [1], "level_winners must have shape (2,), not (1,)"),
    ],
)
def test_arrays_of_learning_out_of_range(name: str, value: Any, message: str) -> None:
    assert reasons(EVERYTHING, **{name: np.array(value)}) == (message,)


# What a loader writes


def test_records() -> None:
    image = learned_image()

    def unpacked(region: Region) -> dict[str, list[int]]:
        values = image.spec.memories[region].layout.unpack(image.records[region])
        return {name: array.tolist() for name, array in values.items()}

    rule = unpacked(Region.RULE)
    assert all(rule[name] == [getattr(image.rule, name)] for name in rule)
    names = {field.name for field in fields(LearningRule)}
    assert rule.keys() == names - {"seed", "pre_change", "post_change"}
    assert unpacked(Region.RANDOM) == {"random": [0xFFFFFFFF]}
    directory = unpacked(Region.DESCRIPTORS)
    assert (directory["learns"], directory["opposite"]) == ([1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0])
    words = unpacked(Region.WEIGHTS)
    assert (words["plastic0"], words["plastic1"]) == ([1, 1, 0, 0], [0, 1, 0, 0])
    assert (words["eligibility0"], words["eligibility1"]) == ([1023, 0, 0, 0], [-1024, 5, 0, 0])
    assert unpacked(Region.NEURONS)["h"] == [0, 1, 2, 2047]
    assert unpacked(Region.LEVELS)["winners"] == [0, 3]
