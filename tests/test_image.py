import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from pydantic import ValidationError

from spikewright.errors import ImageError
from spikewright.image import CoreImage, Manifest, Population
from spikewright.sim.cases import draw_case
from spikewright.spec import CoreSpec, Region

SPEC = CoreSpec(axons=2, neurons=4, lanes=2, delay_slots=2, state_bits=12, weight_words=4)

SPARSE = replace(SPEC, sparse=True)
"""With it each word has a group of its own."""
SPARSE_ROWS = {"first_group": np.zeros(6, int), "word_group": np.array([1, 0, 1, 1])}
"""Axon 0's row comes with its groups in reverse, axon 1's has two words for group 1."""

SUBTRACTED = "must be in [0, v_threshold + 1 - (-2048)] to be subtracted"


def small_image(spec: CoreSpec = SPEC, **changes: Any) -> CoreImage:
    """Both axons reach all four neurons, neuron 0 the second group."""
    fields: dict[str, Any] = {
        "weights": np.array([[1, -2], [3, -4], [127, -128], [5, 0]]),
        "delays": np.array([[0, 1], [0, 1], [1, 0], [1, 1]]),
        "first_word": np.array([0, 2, 3, 0, 0, 0]),
        "word_count": np.array([2, 2, 1, 0, 0, 0]),
        "first_group": np.array([0, 0, 1, 0, 0, 0]),
        "level_groups": np.array([1, 1]),
        "a_mem": np.array([0, 4096, 2048, 4095]),
        "a_syn": np.array([0, 1, 2, 3]),
        "bias": np.array([-2048, 2047, 0, 1]),
        "v_threshold": np.array([100, 200, 300, -400]),
        "reset": np.array([0, 200, -300, 5]),
        "reset_to": np.array([1, 0, 1, 0]),
        "refractory": np.array([0, 15, 1, 2]),
        "manifest": Manifest(
            name="two layers, caf\u00e9",
            inputs=(Population(name="in", first=0, count=2, shape=(1, 2)),),
            populations=(
                Population(name="hidden", first=0, count=2),
                Population(name="out", first=2, count=1),
            ),
            outputs=("out",),
            semantics={"dt": 1e-4, "reset": "zero"},
            scales={"hidden": [0.1, 1e-7]},
            source={"name": "model.nir"},
        ),
    }
    return CoreImage(spec=spec, **(fields | changes))


def sparse_image(**changes: Any) -> CoreImage:
    """The same with the groups of :data:`SPARSE_ROWS`."""
    return small_image(SPARSE, **(SPARSE_ROWS | changes))


def reasons(spec: CoreSpec = SPEC, **changes: Any) -> tuple[str, ...]:
    with pytest.raises(ImageError) as error:
        small_image(spec, **changes)
    assert error.value.what == "Core image is not valid for its spec:"
    return error.value.reasons


def changed(name: str, index: Any, value: int) -> dict[str, Any]:
    array = np.array(getattr(small_image(), name), np.int64)
    array[index] = value
    return {name: array}


# Files


def equal(a: CoreImage, b: CoreImage) -> bool:
    return (a.spec, a.manifest, a.id) == (b.spec, b.manifest, b.id) and all(
        np.array_equal(a.arrays[name], b.arrays[name])
        and a.arrays[name].dtype == b.arrays[name].dtype
        for name in a.arrays
    )


def test_round_trip_through_bytes() -> None:
    image = small_image()
    assert equal(CoreImage.from_bytes(image.to_bytes()), image)


@pytest.mark.parametrize("seed", range(20))
def test_round_trip_of_random_images(seed: int) -> None:
    image = draw_case(seed).image
    assert equal(CoreImage.from_bytes(image.to_bytes()), image)


def test_round_trip_through_a_file(tmp_path: Path) -> None:
    path = tmp_path / "model.core"
    small_image().save(path)
    assert equal(CoreImage.load(path), small_image())
    assert [p.name for p in tmp_path.iterdir()] == ["model.core"]


@pytest.mark.parametrize("image", [small_image(), sparse_image()], ids=["dense", "sparse"])
def test_any_flipped_bit_is_an_error(image: CoreImage) -> None:
    data = image.to_bytes()
    passed = []
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            CoreImage.from_bytes(bytes(damaged))
        except ImageError as error:
            if error.hint:
                continue
        passed.append(bit)
    assert passed == []


@pytest.mark.parametrize("image", [small_image(), sparse_image()], ids=["dense", "sparse"])
def test_any_truncation_is_an_error(image: CoreImage) -> None:
    data = image.to_bytes()
    for size in range(len(data)):
        with pytest.raises(ImageError) as error:
            CoreImage.from_bytes(data[:size])
        assert error.value.hint


def test_bytes_past_the_end_are_an_error() -> None:
    with pytest.raises(ImageError):
        CoreImage.from_bytes(small_image().to_bytes() + b"\0")


def test_id_is_stable() -> None:
    image = small_image()
    assert image.id == small_image().id
    assert image.id == CoreImage.from_bytes(image.to_bytes()).id
    assert image.to_bytes() == small_image().to_bytes()
    wide = {name: array.astype(np.int64) for name, array in image.arrays.items()}
    assert small_image(SPEC, **wide).id == image.id


def test_id_is_the_same_in_every_release() -> None:
    """Devices and recorded cases name images by it; options come and go without changing it."""
    known = "a2246232fe0fad24e9ff38282ddff36eeb463857616d7e453a86d7dab0dd0e7d"
    assert small_image().id == known


def test_id_covers_spec_manifest_and_every_array() -> None:
    ids = {small_image().id}
    ids.add(small_image(CoreSpec.from_dict({**vars_of(SPEC), "weight_words": 5})).id)
    ids.add(small_image(manifest=Manifest(name="other")).id)
    others: dict[str, Any] = {
        "level_groups": np.array([2]),
        **changed("delays", (0, 0), 1),
        **changed("weights", (0, 0), 2),
        **changed("first_word", 5, 1),
        **changed("word_count", 3, 1),
        **changed("first_group", 5, 1),
    }
    for name in ("a_mem", "a_syn", "bias", "v_threshold", "reset", "refractory"):
        others |= changed(name, 2, 7)
    others |= changed("reset_to", 1, 1)
    assert others.keys() == small_image().arrays.keys()
    for name, array in others.items():
        ids.add(small_image(SPEC, **{name: array}).id)
    assert len(ids) == 3 + len(others)
    swapped = sparse_image(word_group=np.array([0, 1, 1, 1]))
    assert len(ids | {sparse_image().id, swapped.id}) == len(ids) + 2


def vars_of(spec: CoreSpec) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(spec.to_json())
    return fields


def rewritten(**content: Any) -> bytes:
    """A file with other content whose manifest hash is right again."""
    image = small_image()
    text = json.dumps(json.loads(outer(image)["content"]) | content)
    header = {"id": hashlib.sha256(text.encode()).hexdigest(), "content": text}
    return safetensors.numpy.save(dict(image.arrays), metadata={"spikewright": json.dumps(header)})


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth else 0


def outer(image: CoreImage) -> dict[str, str]:
    data = image.to_bytes()
    size = int.from_bytes(data[:8], "little")
    parsed: dict[str, str] = json.loads(
        json.loads(data[8 : 8 + size])["__metadata__"]["spikewright"]
    )
    return parsed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"format_version": 2}, "format version 2; this reads version 1."),
        ({"spec": {"axons": 0}}, "Core specification is not valid:"),
        ({"spec": {"core_version": 0}}, "Core specification is for core version 0, this is "),
        ({"spec": None}, "the manifest is not readable ("),
        ({"manifest": {"nam": "x"}}, "the manifest is not readable (ValidationError: "),
        ({"manifest": []}, "the manifest is not readable (ValidationError: "),
        ({"arrays": {}}, "damaged:"),
        ({"arrays": 1}, "the manifest is not readable (TypeError: "),
        ({"manifest": {"scales": {"a": [float("nan")]}}}, "the manifest is not readable ("),
        ({"manifest": {"report": {"a": float("inf")}}}, "damaged: "),
        ({"manifest": {"report": {"\ud800": "\ud800"}}}, "damaged: "),
        ({"manifest": {"report": {"a": nested(400)}}}, "damaged: "),
        ({"spec_hash": "0" * 64}, "damaged: the content does not match the image id."),
    ],
)
def test_wrong_content_with_a_right_hash(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ImageError) as error:
        CoreImage.from_bytes(rewritten(**content))
    assert error.value.what.startswith(message)
    assert error.value.hint.startswith("Compile the network again")


def test_image_that_breaks_its_spec_is_refused_on_loading() -> None:
    smaller = vars_of(SPEC) | {"axons": 1}
    with pytest.raises(ImageError, match=r"^Core image is not valid for its spec:"):
        CoreImage.from_bytes(rewritten(spec=smaller))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a whole safetensors file"),
        (b"\xff" * 64, "not a whole safetensors file"),
        (b"PK\x03\x04 something else entirely", "not a whole safetensors file"),
        (safetensors.numpy.save({"a": np.zeros(2)}), "not a Spikewright image"),
        (safetensors.numpy.save({}, {"spikewright": "1"}), "the manifest is not readable"),
        (safetensors.numpy.save({}, {"spikewright": "[" * 9999}), "the manifest is not readable"),
    ],
)
def test_other_files(data: bytes, message: str) -> None:
    with pytest.raises(ImageError) as error:
        CoreImage.from_bytes(data)
    assert error.value.what.startswith(message)
    other = message.startswith("not a Spikewright")
    assert error.value.hint.startswith("Name a file" if other else "Compile the network again")


def test_missing_unknown_and_mistyped_arrays_are_named() -> None:
    image = small_image()
    arrays = dict(image.arrays) | {"extra": np.zeros(1), "a_mem": image.a_mem.astype(np.int32)}
    del arrays["bias"]
    data = safetensors.numpy.save(arrays, {"spikewright": json.dumps(outer(image))})
    with pytest.raises(ImageError) as error:
        CoreImage.from_bytes(data)
    assert error.value.reasons == (
        "array 'bias' is missing",
        "array 'extra' is unknown",
        "array 'a_mem' must be uint16, not int32",
    )


def test_groups_of_words_are_in_the_file_of_a_sparse_spec() -> None:
    image = sparse_image()
    assert equal(CoreImage.from_bytes(image.to_bytes()), image)
    assert image.arrays.keys() - small_image().arrays.keys() == {"word_group"}
    for given, spec, fault in (
        (small_image(), SPARSE, "missing"),
        (image, SPEC, "unknown"),
    ):
        content = json.loads(outer(given)["content"]) | {"spec": vars_of(spec)}
        text = json.dumps(content)
        header = {"id": hashlib.sha256(text.encode()).hexdigest(), "content": text}
        data = safetensors.numpy.save(dict(given.arrays), {"spikewright": json.dumps(header)})
        with pytest.raises(ImageError) as error:
            CoreImage.from_bytes(data)
        assert error.value.reasons == (f"array 'word_group' is {fault}",)


def test_loading_names_the_file_and_the_next_step(tmp_path: Path) -> None:
    path = tmp_path / "model.core"
    path.write_bytes(small_image().to_bytes()[:-1])
    with pytest.raises(ImageError) as error:
        CoreImage.load(path)
    assert error.value.what.startswith(f"Image {str(path)!r}: not a whole safetensors file")
    assert error.value.hint == "Compile the network again, or fetch a fresh copy of the file."


def test_files_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "none.core"
    with pytest.raises(ImageError) as error:
        CoreImage.load(missing)
    assert error.value.what == f"Cannot read image {str(missing)!r}: No such file or directory."
    large = tmp_path / "large.core"
    large.write_bytes(bytes(100))
    monkeypatch.setattr("spikewright.image.MAX_FILE_BYTES", 99)
    with pytest.raises(ImageError) as error:
        CoreImage.load(large)
    assert error.value.what == f"Cannot read image {str(large)!r}: File too large."
    nowhere = tmp_path / "no folder" / "model.core"
    with pytest.raises(ImageError) as error:
        small_image().save(nowhere)
    assert error.value.what == f"Cannot write image {str(nowhere)!r}: No such file or directory."


# Checks against the spec


def test_arrays_are_read_only_copies() -> None:
    bias = np.zeros(4, np.int32)
    image = small_image(bias=bias)
    bias[0] = 9
    assert image.bias[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        image.bias[0] = 1


@pytest.mark.parametrize("name", sorted(small_image().arrays))
def test_arrays_must_be_integers(name: str) -> None:
    change: dict[str, Any] = {name: getattr(small_image(), name).astype(float)}
    assert reasons(**change) == (f"{name} must be integers, not float64",)


@pytest.mark.parametrize("name", sorted(set(small_image().arrays) - {"level_groups"}))
def test_arrays_must_have_the_shapes_of_the_spec(name: str) -> None:
    change: dict[str, Any] = {name: np.tile(getattr(small_image(), name).ravel(), 2)}
    assert any(reason.startswith(f"{name} must have shape ") for reason in reasons(**change))


def test_weights_must_fit_the_memory() -> None:
    array = small_image().weights
    weights, delays = np.tile(array, (2, 1)), np.zeros((8, 2), int)
    assert reasons(weights=weights, delays=delays) == ("weights must fit 4 weight words, not 8",)


@pytest.mark.parametrize(
    ("name", "index", "value", "message"),
    [
        ("weights", (0, 0), 128, "weights must be in [-128, 127], not -128 to 128"),
        ("weights", (0, 0), -129, "weights must be in [-128, 127], not -129 to 127"),
        ("weights", (0, 0), 40000, "weights must fit [-32768, 32767], not -128 to 40000"),
        ("delays", (0, 0), 2, "delays must be in [0, 1], not 0 to 2"),
        ("delays", (0, 0), -1, "delays must fit [0, 255], not -1 to 1"),
        ("a_mem", 0, 4097, "a_mem must be in [0, 4096], not 2048 to 4097"),
        ("a_syn", 0, 4097, "a_syn must be in [0, 4096], not 1 to 4097"),
        ("bias", 0, 2048, "bias must be in [-2048, 2047], not 0 to 2048"),
        ("v_threshold", 3, -2049, "v_threshold must be in [-2048, 2047], not -2049 to 300"),
        ("reset", 2, -2049, "reset must be in [-2048, 2047], not -2049 to 200"),
        ("reset_to", 0, 2, "reset_to must be in [0, 1], not 0 to 2"),
        ("refractory", 0, 16, "refractory must be in [0, 15], not 1 to 16"),
        ("level_groups", 0, 0, "level_groups must be in [1, 2], not 0 to 1"),
        ("level_groups", 0, 2, "level_groups must add up to [1, 2], not 3"),
        ("word_count", 0, 3, "row of source 0 must end within 2 groups, not 3"),
        ("first_group", 2, 2, "row of source 2 must end within 2 groups, not 3"),
        ("first_word", 1, 3, "row of source 1 must end within 4 words, not 5"),
        ("reset", 1, -1, f"reset of neuron 1 {SUBTRACTED}, not -1"),
        ("reset", 3, 1650, f"reset of neuron 3 {SUBTRACTED}, not 1650"),
    ],
)
def test_values_out_of_range(name: str, index: Any, value: int, message: str) -> None:
    assert reasons(**changed(name, index, value))[0] == message


def test_largest_reset_that_can_be_subtracted() -> None:
    """From v = v_threshold + 1 = -399 it leads to -2048, the lowest state."""
    image = small_image(**changed("reset", 3, 1649))
    neurons = image.spec.memories[Region.NEURONS].layout.unpack(image.records[Region.NEURONS])
    assert image.v_threshold[3] + 1 + neurons["reset_by"][3] == -2048


def test_unused_rows_may_point_anywhere() -> None:
    image = small_image(**changed("first_word", 5, 99), **changed("first_group", 4, 99))
    plain = small_image().records[Region.DESCRIPTORS]
    np.testing.assert_array_equal(image.records[Region.DESCRIPTORS], plain)


def test_groups_of_words_come_with_a_sparse_spec_alone() -> None:
    assert reasons(SPARSE) == ("word_group must be there, not None",)
    message = "word_group must be None for a spec without sparse"
    assert reasons(word_group=SPARSE_ROWS["word_group"]) == (message,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"word_group": [0, 1, 2, 1]}, "word_group must be in [0, 1], not 0 to 2"),
        ({"word_group": [0, 1, -1, 1]}, "word_group must fit [0, 65535], not -1 to 1"),
        ({"word_group": [0, 1, 1]}, "word_group must have shape (4,), not (3,)"),
        ({"word_group": [0.0] * 4}, "word_group must be integers, not float64"),
        ({"first_group": [0, 0, 0, 0, 0, 1]}, "first_group must be in [0, 0], not 0 to 1"),
        ({"word_count": [2, 3, 1, 0, 0, 0]}, "row of source 1 must end within 4 words, not 5"),
        (
            {"level_groups": [1]},
            "word 0, in the row of source 0, must be for one of 1 groups, not for group 1",
        ),
    ],
)
def test_sparse_rows_out_of_range(changes: dict[str, Any], message: str) -> None:
    arrays = {name: np.array(values) for name, values in changes.items()}
    assert reasons(SPARSE, **(SPARSE_ROWS | arrays))[0] == message


def test_a_row_may_hold_more_words_than_there_are_groups() -> None:
    image = sparse_image(word_count=np.array([4, 2, 1, 0, 0, 0]))
    row, word, group = image.row_words(np.array([0, 2]))
    assert (row.tolist(), word.tolist()) == ([0, 0, 0, 0, 1], [0, 1, 2, 3, 3])
    assert group.tolist() == [1, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("weights", "least", "most"),
    [
        ([127, 127, 67, 127], 0, 1023),
        ([127, 127, 69, 126], 0, 1024),
        ([-128, -128, -64, -128], -1024, 0),
        ([-128, -128, -66, -127], -1025, 0),
        ([-128, 127, -64, -128], -768, 254),
    ],
)
def test_sums_of_sparse_rows_must_fit_the_accumulators(
    weights: list[int], least: int, most: int
) -> None:
    """Of 11 bits, for 6 sources. Two rows hold all four words, a third one the last word."""
    arrays = {
        **SPARSE_ROWS,
        "weights": np.outer(weights, [0, 1]),
        "first_word": np.array([0, 0, 3, 0, 0, 0]),
        "word_count": np.array([4, 4, 1, 0, 0, 0]),
        "word_group": np.ones(4, int),
    }
    if least >= -1024 and most <= 1023:
        small_image(SPARSE, **arrays)
        return
    assert reasons(SPARSE, **arrays) == (
        "synapses into neuron 3 must add up to [-1024, 1023] whichever of them deliver, "
        f"not {least} to {most}",
    )


def test_no_level_is_an_error() -> None:
    message = "level_groups must add up to [1, 2], not 0"
    assert message in reasons(level_groups=np.zeros(0, int))


def test_current_decay_needs_the_feature() -> None:
    spec = CoreSpec.from_dict(vars_of(SPEC) | {"synapse_current": False})
    assert reasons(spec) == ("a_syn must be in [0, 0], not 0 to 3",)
    small_image(spec, a_syn=np.zeros(4, int))


def test_shift_decay_takes_shifts_only() -> None:
    spec = CoreSpec.from_dict(vars_of(SPEC) | {"decay": "shift"})
    message = "must be 0, 4096 or 4096 - 4096 / 2**k for a spec with shift decay"
    assert reasons(spec) == (f"a_syn {message}",)
    allowed = np.array([0, 4096, 4095, 3072])
    small_image(spec, a_mem=allowed, a_syn=allowed)
    assert reasons(spec, a_mem=allowed + np.eye(4, dtype=int)[0], a_syn=allowed) == (
        f"a_mem {message}",
    )


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (
            Manifest(inputs=(Population(name="in", first=1, count=2),)),
            "population 'in' must end within 2 axons, not 3",
        ),
        (
            Manifest(populations=(Population(name="a", first=4, count=1),)),
            "population 'a' must end within 4 neurons, not 5",
        ),
        (Manifest(outputs=("b",)), "output 'b' must be a population"),
    ],
)
def test_manifest_must_fit(manifest: Manifest, message: str) -> None:
    assert reasons(manifest=manifest) == (message,)


# Views


def test_populations() -> None:
    image = small_image()
    assert image.population("out").slice == slice(2, 3)
    assert image.output_slices == {"out": slice(2, 3)}
    with pytest.raises(ImageError) as error:
        image.population("none")
    assert str(error.value) == "Image has no population 'none'.\nPopulations: 'hidden', 'out'."


def test_records_unpack_to_the_arrays() -> None:
    image = small_image()
    values = {
        region: SPEC.memories[region].layout.unpack(records)
        for region, records in image.records.items()
    }
    assert values.keys() == {r for r, memory in SPEC.memories.items() if memory.writable}
    for lane in range(SPEC.lanes):
        assert np.array_equal(values[Region.WEIGHTS][f"weight{lane}"], image.weights[:, lane])
        assert np.array_equal(values[Region.WEIGHTS][f"delay{lane}"], image.delays[:, lane])
    by = np.where(image.reset_to, image.reset, -image.reset)
    wanted = {**image.arrays, "reset_by": by}
    for region in (Region.DESCRIPTORS, Region.NEURONS):
        for name, column in values[region].items():
            assert np.array_equal(column, wanted[name]), name
    assert {k: v.tolist() for k, v in values[Region.LEVELS].items()} == {
        "last": [1, 1],
        "end": [0, 1],
    }


def test_records_of_a_sparse_spec() -> None:
    image = sparse_image(first_word=np.array([0, 2, 3, 99, 0, 0]))
    rows, words = (
        SPARSE.memories[region].layout.unpack(image.records[region])
        for region in (Region.DESCRIPTORS, Region.WEIGHTS)
    )
    assert rows.keys() == {"first_word", "word_count"}
    assert rows["first_word"].tolist() == [0, 2, 3, 0, 0, 0]
    assert words["group"].tolist() == [1, 0, 1, 1]
    assert words["weight1"].tolist() == image.weights[:, 1].tolist()


def test_levels_of_several_groups() -> None:
    image = small_image(level_groups=np.array([2]))
    levels = SPEC.memories[Region.LEVELS].layout.unpack(image.records[Region.LEVELS])
    assert {k: v.tolist() for k, v in levels.items()} == {"last": [0, 1], "end": [0, 1]}
    assert image.groups_used == 2


def test_image_without_synapses() -> None:
    image = small_image(
        weights=np.zeros((0, 2), int), delays=np.zeros((0, 2), int), word_count=np.zeros(6, int)
    )
    assert Region.WEIGHTS not in image.records
    assert equal(CoreImage.from_bytes(image.to_bytes()), image)


A, B = Population(name="a", first=0, count=2), Population(name="b", first=2, count=1)


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (
            Manifest(inputs=(A, Population(name="b", first=1, count=1))),
            "populations 'a' and 'b' must not share axon 1",
        ),
        (
            Manifest(populations=(Population(name="b", first=1, count=2), B, A)),
            "populations 'a' and 'b' must not share neuron 1",
        ),
        (
            Manifest(populations=(A, Population(name="a", first=2, count=1))),
            "population 'a' must be there once, not 2 times",
        ),
        (Manifest(populations=(A, B), outputs=("b", "b")), "output 'b' must be there once"),
    ],
)
def test_ambiguous_manifest(manifest: Manifest, reason: str) -> None:
    assert any(found.startswith(reason) for found in reasons(manifest=manifest))


@pytest.mark.parametrize("shape", [(3,), (-1, -2), (0,), (2, 2)])
def test_shape_that_is_not_the_count(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match="shape"):
        Population(name="a", first=0, count=2, shape=shape)


@pytest.mark.parametrize(
    "order",
    [{"axes": (0, 0)}, {"axes": (0,)}, {"tile": (1, 2)}, {"axes": (1, 0), "tile": (2,)},
     {"axes": (1, 0), "tile": (0, 1)}, {"axes": (1, 0), "tile": (1 << 70, 1)}],
)  # fmt: skip
def test_order_that_is_not_of_the_shape(order: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"axes|tile"):
        Population(name="a", first=0, count=6, shape=(2, 3), **order)


def test_order_is_said_only_where_it_is_unusual() -> None:
    shape: dict[str, Any] = {"name": "a", "first": 0, "count": 6, "shape": (2, 3)}
    assert Population(**shape).model_dump() == shape
    turned = shape | {"axes": (1, 0)}
    assert Population(**turned).model_dump() == turned
    assert Population(**turned).positions.tolist() == [0, 2, 4, 1, 3, 5]
    tiled = turned | {"tile": (2, 2)}
    assert Population(**tiled).model_dump() == tiled
    assert Population(**tiled).positions.tolist() == [0, 2, 4, 1, 3, 5]
    assert Population(**tiled | {"tile": (1, 2)}).positions.tolist() == [0, 1, 2, 3, 4, 5]
