import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from spikewright.errors import DataError, SpecError
from spikewright.files import (
    MAX_BYTES,
    fit_spikes,
    merge_json,
    read_arrays,
    read_labels,
    read_result,
    read_rewards,
    read_spec,
    read_spikes,
    result_bytes,
    spikes_bytes,
    write_whole,
)
from spikewright.image import Manifest, Population
from spikewright.sim.cases import draw_case
from spikewright.spec import CoreSpec
from spikewright.target import RunResult

DRAWN = draw_case(7, spec=CoreSpec(axons=8, neurons=16, lanes=8), timesteps=1)
SPIKES = np.random.default_rng(3).random((2, 5, 4)) < 0.5


def saved(path: Path, **arrays: npt.ArrayLike) -> Path:
    np.savez(path, allow_pickle=False, **{k: np.asarray(array) for k, array in arrays.items()})
    return path


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_spikes_of_any_number_type(dtype: type, tmp_path: Path) -> None:
    found = read_spikes(saved(tmp_path / "in.npz", spikes=SPIKES.astype(dtype), other=[1]))
    assert found.dtype == np.bool_
    assert np.array_equal(found, SPIKES)


def test_spikes_without_samples_are_one_sample(tmp_path: Path) -> None:
    found = read_spikes(saved(tmp_path / "in.npz", spikes=SPIKES[1]))
    assert np.array_equal(found, SPIKES[1:])


def test_rewards_of_either_file(tmp_path: Path) -> None:
    rewards = np.array([[3, -128], [127, 0]], np.int8)
    np.save(tmp_path / "rewards.npy", rewards)
    np.save(tmp_path / "one.npy", rewards[0])
    found = [
        read_rewards(tmp_path / "rewards.npy"),
        read_rewards(saved(tmp_path / "rewards.npz", rewards=rewards)),
        np.concatenate([read_rewards(tmp_path / "one.npy"), rewards[1:]]),
    ]
    for each in found:
        assert np.array_equal(each, rewards)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("absent.npy", None, "Cannot read '.*absent.npy': No such file or directory"),
        ("text.npy", b"no such format", "is not a whole .npy file of plain numbers .ValueError"),
        ("cut.npy", b"whole", "is not a whole .npy file of plain numbers .ValueError"),
        ("objects.npy", b"objects", "is not a whole .npy file of plain numbers .*pickle"),
        ("other.npz", b"other", "has no array 'rewards'; its arrays: 'reward'"),
    ],
)
def test_rewards_that_are_none(name: str, data: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if data == b"other":
        saved(path, reward=np.zeros((2, 2), int))
    elif data == b"objects":
        np.save(path, np.array([{}]), allow_pickle=True)
    elif data == b"whole":
        np.save(path, np.zeros((2, 2), int))
        path.write_bytes(path.read_bytes()[:-3])
    elif data is not None:
        path.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        read_rewards(path)
    assert "numpy.save('rewards.npy'" in caught.value.hint


def test_spikes_bytes_read_back(tmp_path: Path) -> None:
    write_whole(tmp_path / "in.npz", spikes_bytes(SPIKES))
    assert np.array_equal(read_spikes(tmp_path / "in.npz"), SPIKES)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), "must have shape [samples, timesteps, axons] or [timesteps, axons], none "),
        (np.zeros((1, 2, 3, 4)), "not [1, 2, 3, 4]."),
        (np.zeros((0, 2, 3)), "none of them 0, not [0, 2, 3]."),
        (np.full((2, 3), 2), "must be 0 or 1, not other values of int64 (largest: 2)."),
        (np.full((2, 3), np.nan), "must be 0 or 1, not other values of float64 (largest: nan)."),
        (np.full((2, 3), "1"), "must be 0 or 1, not other values of <U1."),
    ],
)
def test_wrong_spikes(array: npt.NDArray[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read_spikes(saved(tmp_path / "in.npz", spikes=array))
    assert message in error.value.what
    assert error.value.hint


def test_labels_where_there_are_any(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", spikes=np.ones((3, 2, 1)), labels=np.array([2, 0, 1]))
    np.testing.assert_array_equal(read_labels(tmp_path / "in.npz"), [2, 0, 1])
    np.savez(tmp_path / "in.npz", spikes=np.ones((3, 2, 1)))
    assert read_labels(tmp_path / "in.npz") is None


def test_missing_array_names_those_there(tmp_path: Path) -> None:
    path = saved(tmp_path / "in.npz", data=SPIKES)
    with pytest.raises(DataError) as error:
        read_spikes(path)
    assert error.value.what == f"{str(path)!r} has no array 'spikes'; its arrays: 'data'."


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read_spikes(tmp_path / "in.npz")
    assert error.value.what == f"Cannot read '{tmp_path}/in.npz': No such file or directory."
    assert error.value.hint


def test_every_cut_and_many_flips_are_errors(tmp_path: Path) -> None:
    """A changed file is an error, or (where zip keeps what nobody reads) the same spikes."""
    whole = spikes_bytes(SPIKES)
    path = tmp_path / "in.npz"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError):
            read_spikes(path)
    refused = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            found = read_spikes(path)
        except DataError:
            refused += 1
        else:
            assert np.array_equal(found, SPIKES), place
    assert refused > len(whole) / 2


def test_pickle_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "run",))

    buffer = io.BytesIO()
    np.save(buffer, np.array([Trap()], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "in.npz", "w") as archive:
        archive.writestr("spikes.npy", buffer.getvalue())
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(Trap()))
    for name in ("in.npz", "bare.npz"):
        with pytest.raises(DataError, match="plain arrays"):
            read_spikes(tmp_path / name)
    assert not (tmp_path / "run").exists()


def test_array_larger_than_the_limit_is_not_unpacked(tmp_path: Path) -> None:
    """1 GiB of zeros in 1 MB of file."""
    path = tmp_path / "in.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("spikes.npy", "w", force_zip64=True) as member,
    ):
        for _ in range((MAX_BYTES >> 24) + 1):
            member.write(bytes(1 << 24))
    with pytest.raises(DataError, match="holds arrays of more than 1024 MiB"):
        read_arrays(path)


def test_arrays_larger_than_the_limit_together_are_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "in.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for k in range(9):
            archive.writestr(f"a{k}.npy", bytes(1 << 27))
    with pytest.raises(DataError, match="holds arrays of more than 1024 MiB"):
        read_arrays(path)


def header(descr: str = "'|b1'", shape: str = "(1,)", end: str = "}") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, {end}\n".encode()
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("member", "compression"),
    [
        (b"no array", zipfile.ZIP_STORED),
        (header(shape=f"({1 << 70},)"), zipfile.ZIP_STORED),
        (header(shape="(True, 1)"), zipfile.ZIP_STORED),
        (header(descr="()"), zipfile.ZIP_STORED),
        (header(end="("), zipfile.ZIP_STORED),
        (b"LZMA", zipfile.ZIP_LZMA),
    ],
    ids=["text", "huge", "bool", "dtype", "bracket", "lzma"],
)
def test_members_that_are_no_arrays(member: bytes, compression: int, tmp_path: Path) -> None:
    """NumPy and zipfile raise what comes to them."""
    path = tmp_path / "in.npz"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("spikes.npy", member)
    if compression == zipfile.ZIP_LZMA:
        data = bytearray(path.read_bytes())
        data[data.index(b"spikes.npy") + 22] ^= 0xFF
        path.write_bytes(data)
    with pytest.raises(DataError, match=r"is not a whole \.npz file of plain arrays"):
        read_spikes(path)


def test_array_file_that_is_an_archive_too(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, SPIKES)
    (tmp_path / "in.npz").write_bytes(buffer.getvalue() + spikes_bytes(SPIKES))
    with pytest.raises(DataError, match=r"is not a whole \.npz file of plain arrays"):
        read_spikes(tmp_path / "in.npz")


@pytest.mark.parametrize("text", ["", "[", "[1]"])
def test_spec_that_is_no_object(text: str, tmp_path: Path) -> None:
    (tmp_path / "core.json").write_text(text)
    with pytest.raises(SpecError, match="JSON") as error:
        read_spec(tmp_path / "core.json")
    assert "such as: {" in error.value.hint


def test_spec_of_a_size_that_none_has(tmp_path: Path) -> None:
    path = tmp_path / "core.json"
    path.write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(SpecError, match=r"core\.json': File too large"):
        read_spec(path)


def test_header_that_claims_more_than_the_file_holds(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    header = {"descr": "|b1", "fortran_order": False, "shape": (1 << 20, 1 << 20, 1 << 20)}
    np.lib.format.write_array_header_1_0(buffer, header)
    with zipfile.ZipFile(tmp_path / "in.npz", "w") as archive:
        archive.writestr("spikes.npy", buffer.getvalue())
    with pytest.raises(DataError):
        read_spikes(tmp_path / "in.npz")


@pytest.mark.parametrize(("lines", "fits"), [(3, True), (8, True), (4, False), (9, False)])
def test_spikes_must_fit_the_inputs_or_the_core(lines: int, fits: bool) -> None:
    image = draw_case(1, spec=CoreSpec(axons=8, neurons=8)).image
    inputs = (Population(name="a", first=0, count=1), Population(name="b", first=1, count=2))
    object.__setattr__(image, "manifest", Manifest(inputs=inputs))
    spikes = np.zeros((1, 1, lines), np.bool_)
    if fits:
        assert fit_spikes(spikes, image) is spikes
        return
    with pytest.raises(DataError) as error:
        fit_spikes(spikes, image)
    assert error.value.what == (
        f"Spikes must have 3 (or all 8 of the core) axons for this image, not {lines}."
    )


@pytest.mark.parametrize("full", [True, False])
def test_result_reads_back(full: bool, tmp_path: Path) -> None:
    cycles = np.arange(10).reshape(2, 5)
    v = np.arange(40, dtype=np.int32).reshape(2, 5, 4) - 20
    result = RunResult(SPIKES, cycles if full else None, cycles.sum(axis=1), v if full else None)
    write_whole(tmp_path / "out.npz", result_bytes(result))
    found = read_result(tmp_path / "out.npz")
    for name in ("spikes", "cycles", "total_cycles", "v"):
        wanted, got = getattr(result, name), getattr(found, name)
        assert np.array_equal(wanted, got) if wanted is not None else got is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"spikes": np.zeros((1, 2, 3))}, "spikes must be bool[1, 2, 3], not float64[1, 2, 3]"),
        ({"spikes": np.zeros(3, bool)}, "spikes must be bool[samples, timesteps, neurons], not"),
        ({"total_cycles": np.array(["a"])}, "total_cycles must be int[1], not <U1[1]"),
        ({"total_cycles": np.zeros(2, int)}, "total_cycles must be int[1], not int64[2]"),
        ({"cycles": np.zeros((1, 3), int)}, "cycles must be int[1, 2], not int64[1, 3]"),
        ({"v": np.zeros((1, 2, 3))}, "v must be int[1, 2, 3], not float64[1, 2, 3]"),
    ],
)
def test_result_of_another_form(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    arrays = {"spikes": np.zeros((1, 2, 3), bool), "total_cycles": np.zeros(1, int)}
    path = saved(tmp_path / "out.npz", **(arrays | change))
    with pytest.raises(DataError) as error:
        read_result(path)
    assert error.value.what == f"{str(path)!r} holds no result:"
    assert error.value.reasons[0].startswith(reason)


def test_result_without_spikes(tmp_path: Path) -> None:
    path = saved(tmp_path / "out.npz", total_cycles=[1])
    with pytest.raises(DataError) as error:
        read_result(path)
    assert error.value.what == f"{str(path)!r} has no array 'spikes'."


def test_merged_json_keeps_other_entries(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.json"
    merge_json(path, {"a": 1, "b": 2})
    merge_json(path, {"b": 3})
    assert json.loads(path.read_text()) == {"a": 1, "b": 3}


@pytest.mark.parametrize("text", ["{", "[1]", "\xff"])
def test_merging_into_what_is_no_object_changes_nothing(text: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match="Cannot add to"):
        merge_json(path, {"a": 1})
    assert path.read_bytes() == text.encode("latin-1")


def test_write_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out"
    write_whole(target, b"old")
    (tmp_path / "folder").mkdir()
    for name, why in (
        ("folder", "Is a directory"),
        (".", "Is a directory"),
        ("x" * 256, "File name too long"),
        ("out/in", "Not a directory"),
        ("absent/out", "No such file or directory"),
    ):
        with pytest.raises(DataError) as error:
            write_whole(tmp_path / name, b"new")
        assert error.value.what == f"Cannot write '{tmp_path / name}': {why}."
    with pytest.raises(DataError, match=r"Cannot write '\.': Is a directory"):
        write_whole("", b"new")
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "out"]
    write_whole(tmp_path / ("x" * 255), b"new")


@pytest.mark.parametrize("write", [write_whole, lambda path, _: DRAWN.image.save(path)])
def test_write_touches_no_other_file(write: Callable[[Path, bytes], None], tmp_path: Path) -> None:
    """Not even one that has the name, or is the link, that a partial file might have."""
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "out.partial").symlink_to("mine")
    write(tmp_path / "out", b"new")
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out", "out.partial"]


def test_write_to_what_is_no_file_goes_into_it(tmp_path: Path) -> None:
    """A pipe, or /dev/null, is not replaced by a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(pipe, b"new")
    assert os.read(reader, 9) == b"new"
    os.close(reader)
    assert pipe.is_fifo()


def test_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "out", b"new")
    assert not list(tmp_path.iterdir())
