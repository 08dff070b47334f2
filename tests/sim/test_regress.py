import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest

from spikewright.errors import DataError
from spikewright.image import CoreImage
from spikewright.sim.cases import draw_case
from spikewright.sim.regress import (
    Outcome,
    find_cases,
    first_difference,
    junit_xml,
    load_case,
    record_case,
    regress,
)
from spikewright.spec import CoreSpec
from spikewright.target import RunResult

SPEC = CoreSpec(axons=8, neurons=16, lanes=8, weight_bits=4, state_bits=16)
DRAWN = draw_case(7, spec=SPEC, timesteps=12, samples=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the case ``deep/one``."""
    (tmp_path / "cases" / "deep").mkdir(parents=True)
    record_case(DRAWN.image, DRAWN.spikes, tmp_path / "cases" / "deep" / "one")
    return tmp_path / "cases"


def changed(image: CoreImage) -> CoreImage:
    """The image with every threshold one higher."""
    return replace(image, v_threshold=image.v_threshold + 1)


def test_case_reads_back(folder: Path) -> None:
    case = load_case(folder / "deep" / "one")
    assert case.image.id == DRAWN.image.id
    assert np.array_equal(case.spikes, DRAWN.spikes)
    assert case.golden.spikes.any()
    assert case.golden.v is not None
    assert case.golden.v.shape == (3, 12, 16)


def test_same_case_has_the_same_bytes(folder: Path) -> None:
    record_case(DRAWN.image, DRAWN.spikes, folder / "two")
    for path in (folder / "two").iterdir():
        assert path.read_bytes() == (folder / "deep" / "one" / path.name).read_bytes()


def test_cases_pass_on_golden_and_rtl(folder: Path) -> None:
    told: list[int] = []
    outcomes = regress(folder, progress=told.append)
    assert [(o.case, o.target, o.status, o.message) for o in outcomes] == [
        ("deep/one", "golden", "passed", ""),
        ("deep/one", "verilator", "passed", ""),
    ]
    assert told == [1, 1]
    assert regress(folder / "deep" / "one", ["golden"])[0].case == "one"


def test_another_result_fails_at_the_first_difference(folder: Path) -> None:
    """The case's image is exchanged for one with other thresholds, hashes and all."""
    record_case(changed(DRAWN.image), DRAWN.spikes, folder / "other")
    one, other = folder / "deep" / "one", folder / "other"
    for name in ("case.json", "image.core"):
        shutil.copy(other / name, one / name)
    manifest = json.loads((one / "case.json").read_text())
    manifest["files"]["golden.npz"] = json.loads(_recorded(folder))["files"]["golden.npz"]
    (one / "case.json").write_text(json.dumps(manifest))

    (outcome,) = regress(one, ["golden"])
    assert outcome.status == "failed"
    old = load_case(one).golden.spikes
    new = load_case(other).golden.spikes
    assert (old != new).any()
    sample, timestep, _ = np.argwhere(old != new)[0]
    assert outcome.message.startswith(f"Sample {sample}, timestep {timestep}, neuron ")


def _recorded(folder: Path) -> str:
    """The manifest of the drawn case, recorded afresh."""
    record_case(DRAWN.image, DRAWN.spikes, folder / "afresh")
    text = (folder / "afresh" / "case.json").read_text()
    shutil.rmtree(folder / "afresh")
    return text


@pytest.mark.parametrize("name", ["case.json", "image.core", "spikes.npz", "golden.npz"])
@pytest.mark.parametrize("damage", ["cut", "flip", "absent"])
def test_damaged_case_is_an_error_of_its_own(folder: Path, name: str, damage: str) -> None:
    shutil.copytree(folder / "deep" / "one", folder / "whole")
    path = folder / "deep" / "one" / name
    data = bytearray(path.read_bytes())
    place = data.index(b"a") if name == "case.json" else len(data) // 2
    data[place] ^= 1
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes(data if damage == "flip" else data[: len(data) // 2])
    damaged, whole = regress(folder, ["golden"])
    assert (damaged.case, damaged.status) == ("deep/one", "error")
    assert name in damaged.message
    assert (whole.case, whole.status) == ("whole", "passed")


def test_what_no_case_can_be_is_an_error_of_its_own(folder: Path) -> None:
    """The hashes are right, and the result is none."""
    shutil.copytree(folder / "deep" / "one", folder / "whole")
    path = folder / "deep" / "one" / "golden.npz"
    np.savez(path, spikes=np.array("spikes"), total_cycles=np.array("cycles"))
    manifest = json.loads((path.parent / "case.json").read_text())
    manifest["files"]["golden.npz"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (path.parent / "case.json").write_text(json.dumps(manifest))
    strange, whole = regress(folder, ["golden"])
    assert (strange.status, whole.status) == ("error", "passed")
    assert "golden.npz' holds no result:" in strange.message


@pytest.mark.parametrize("name", ["image.core", "spikes.npz", "golden.npz"])
def test_file_of_another_case_is_an_error(folder: Path, name: str) -> None:
    record_case(changed(DRAWN.image), ~DRAWN.spikes, folder / "other")
    shutil.copy(folder / "other" / name, folder / "deep" / "one" / name)
    with pytest.raises(DataError) as error:
        load_case(folder / "deep" / "one")
    assert error.value.reasons == (f"{name} does not match its hash",)


@pytest.mark.parametrize("text", ["[]", "{}", '{"files": 3}', "[" * 100_000, "\x00"])
def test_manifest_of_any_kind_is_an_error(folder: Path, text: str) -> None:
    path = folder / "deep" / "one" / "case.json"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        load_case(path.parent)
    assert error.value.what == f"{str(path)!r} is damaged: it lists no hashes."


@pytest.mark.parametrize("name", ["case.json", "image.core", "spikes.npz"])
def test_endless_file_is_an_error(folder: Path, name: str) -> None:
    """As from a checkout with a link in it."""
    path = folder / "deep" / "one" / name
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(DataError) as error:
        load_case(path.parent)
    assert error.value.what == f"Cannot read {str(path)!r}: Not a regular file."


def test_case_of_another_version(folder: Path) -> None:
    path = folder / "deep" / "one" / "case.json"
    path.write_text(path.read_text().replace('"case_version": 1', '"case_version": 2'))
    with pytest.raises(DataError, match="has version 2; this reads version 1"):
        load_case(path.parent)


def test_case_that_is_there_is_kept(folder: Path) -> None:
    before = (folder / "deep" / "one" / "case.json").read_bytes()
    with pytest.raises(DataError) as error:
        record_case(changed(DRAWN.image), DRAWN.spikes, folder / "deep" / "one")
    assert error.value.what == f"Case '{folder}/deep/one' is already there."
    assert (folder / "deep" / "one" / "case.json").read_bytes() == before


def test_case_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Spikes must have 8 axons"):
        record_case(DRAWN.image, DRAWN.spikes[..., :7], tmp_path / "case")
    with pytest.raises(DataError, match="Cannot write case"):
        record_case(DRAWN.image, DRAWN.spikes, tmp_path / "absent" / "case")
    assert list(tmp_path.iterdir()) == []


def test_folder_without_cases(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DataError) as error:
            find_cases(path)
        assert error.value.what == f"No case in {str(path)!r}."


def test_missing_package_does_not_end_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spikewright.sim.rtl_target", None)
    outcomes = regress(folder, ["verilator", "golden"])
    assert [o.status for o in outcomes] == ["error", "passed"]
    assert outcomes[0].message.startswith("Unexpected ModuleNotFoundError: ")


def test_port_that_is_not_there_is_an_error_of_each_case(folder: Path) -> None:
    (outcome,) = regress(folder, ["/dev/no-such-port"])
    assert outcome.status == "error"
    assert "/dev/no-such-port" in outcome.message


def result(**changes: Any) -> RunResult:
    plain = RunResult(
        spikes=np.zeros((2, 3, 4), np.bool_),
        cycles=np.full((2, 3), 9),
        total_cycles=np.full(2, 27),
        v=np.zeros((2, 3, 4), np.int32),
    )
    return replace(plain, **changes)


def at(array: npt.NDArray[Any], where: tuple[int, ...], value: int) -> npt.NDArray[Any]:
    array = array.copy()
    array[where] = value
    return array


def test_first_difference() -> None:
    plain = result()
    v, cycles = plain.v, plain.cycles
    assert v is not None
    assert cycles is not None
    assert first_difference(plain, plain) == ""
    late = result(v=at(v, (1, 0, 0), 7), cycles=at(cycles, (0, 2), 8))
    assert first_difference(plain, late) == "Sample 0, timestep 2: cycles is 8, recorded is 9."
    spike = result(spikes=at(plain.spikes, (0, 1, 3), 1), v=at(v, (1, 0, 0), 7))
    assert (
        first_difference(plain, spike)
        == "Sample 0, timestep 1, neuron 3: spikes is 1, recorded is 0."
    )
    total = at(plain.total_cycles, (1,), 28)
    assert (
        first_difference(plain, result(cycles=None, v=None, total_cycles=total))
        == "Sample 1: total_cycles is 28, recorded is 27."
    )
    assert first_difference(plain, result(v=None)) == ""
    shorter = result(spikes=plain.spikes[:, :2])
    assert first_difference(plain, shorter) == "spikes has shape [2, 2, 4], recorded is [2, 3, 4]."


def test_junit_report() -> None:
    outcomes = [
        Outcome("a", "golden", "passed", "", 1.25),
        Outcome("b<&\x07", "golden", "failed", "v differs\nby \x1b 1", 0.5),
        Outcome("c", "verilator\x01", "error", "damaged", 0),
    ]
    root = ElementTree.fromstring(junit_xml(outcomes))
    assert root.tag == "testsuites"
    (suite,) = root
    wanted = {"tests": "3", "failures": "1", "errors": "1", "time": "1.750"}
    assert root.attrib == wanted
    assert suite.attrib == wanted | {"name": "spikewright"}
    assert [(c.get("classname"), c.get("name"), c.get("time")) for c in suite] == [
        ("golden", "a", "1.250"),
        ("golden", "b<&\N{REPLACEMENT CHARACTER}", "0.500"),
        ("verilator\N{REPLACEMENT CHARACTER}", "c", "0.000"),
    ]
    passed, failed, error = suite
    assert len(passed) == 0
    assert (failed[0].tag, failed[0].get("message")) == ("failure", "v differs")
    assert failed[0].text == "v differs\nby \N{REPLACEMENT CHARACTER} 1"
    assert (error[0].tag, error[0].text) == ("error", "damaged")
