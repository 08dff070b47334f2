"""Recorded cases for a user's own CI: image, input spikes and golden results, run again later.

A case is a folder: ``image.core``, ``spikes.npz`` and ``golden.npz`` as the command line reads and
writes them, and ``case.json`` with the SHA-256 of each.
"""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from spikewright.errors import DataError, SpikewrightError
from spikewright.files import (
    MAX_BYTES,
    fit_spikes,
    read_result,
    read_spikes,
    result_bytes,
    spikes_bytes,
)
from spikewright.image import CoreImage
from spikewright.storage import read_file
from spikewright.target import Progress, RunResult, open_target

from .golden import GoldenTarget

__all__ = [
    "CASE_VERSION",
    "TARGETS",
    "Case",
    "Outcome",
    "Status",
    "find_cases",
    "first_difference",
    "junit_xml",
    "load_case",
    "record_case",
    "regress",
]

CASE_VERSION = 1
TARGETS = ("golden", "verilator")
"""Where cases run if nothing else is said."""
Status = Literal["passed", "failed", "error"]

_MANIFEST = "case.json"
_FILES = ("image.core", "spikes.npz", "golden.npz")
_RECORD_AGAIN = "Fetch a fresh copy of the case, or record it again."


@dataclass(frozen=True)
class Case:
    """A recorded case, read and checked.

    Attributes
    ----------
    image : CoreImage
    spikes : bool[samples, timesteps, axons]
        Input spikes.
    golden : RunResult
        What the golden model gave when the case was recorded, membrane potentials included.
    """

    image: CoreImage
    spikes: npt.NDArray[np.bool_]
    golden: RunResult


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one case ended on one target.

    Attributes
    ----------
    case : str
        The case's folder, relative to the one that was searched.
    target : str
        As given to :func:`spikewright.target.open_target`.
    status : {"passed", "failed", "error"}
        ``failed``: another result than recorded; ``error``: damaged, or it could not be run.
    message : str
        The first difference, or the error; empty if passed.
    seconds : float
        Wall-clock time, building included.
    """

    case: str
    target: str
    status: Status
    message: str
    seconds: float


def record_case(
    image: CoreImage,
    spikes: npt.NDArray[np.bool_],
    folder: Path | str,
    *,
    progress: Progress | None = None,
) -> Case:
    """Run input spikes on the golden model and write a case, whole or not at all.

    Parameters
    ----------
    image : CoreImage
        What runs.
    spikes : bool[samples, timesteps, axons]
        Input spikes.
    folder : path
        The case to be made; must not be there, or be empty.
    progress : callable
        Told how many samples were finished, as they are.

    Raises
    ------
    DataError
        Spikes of another shape than the image's inputs, or a folder that cannot be made.
    """
    target = Path(folder)
    _must_be_free(target)
    model = GoldenTarget()
    model.load(image)
    result = model.run(fit_spikes(spikes, image), record_v=True, progress=progress)
    contents = dict(
        zip(_FILES, (image.to_bytes(), spikes_bytes(spikes), result_bytes(result)), strict=True)
    )
    manifest = {
        "case_version": CASE_VERSION,
        "image_id": image.id,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()},
    }
    contents[_MANIFEST] = (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()
    _write_folder(target, contents)
    return Case(image, spikes, result)


def _must_be_free(folder: Path) -> None:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise DataError(
            f"Case {str(folder)!r} is already there.",
            hint="Name another folder, or remove this one first.",
        )


def _write_folder(folder: Path, contents: dict[str, bytes]) -> None:
    """Fill a folder beside the one wanted, then rename it into place."""
    partial = None
    try:
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        for name, data in contents.items():
            (partial / name).write_bytes(data)
        partial.chmod(0o755)
        partial.replace(folder)
    except OSError as error:
        raise DataError(
            f"Cannot write case {str(folder)!r}: {error.strerror}.",
            hint="Name a case in a folder that is there and that you may write to.",
        ) from None
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def load_case(folder: Path | str) -> Case:
    """Read and check a case.

    Raises
    ------
    DataError
        A file of it is missing or damaged, or was written by another version.
    ImageError
        The image is not valid.
    """
    source = Path(folder)
    try:
        manifest = json.loads(read_file(source / _MANIFEST, MAX_BYTES))
        hashes = {name: manifest["files"][name] for name in _FILES}
        version = manifest["case_version"]
        found = {
            name: hashlib.sha256(read_file(source / name, MAX_BYTES)).hexdigest() for name in _FILES
        }
    except OSError as error:
        raise DataError(
            f"Cannot read {str(error.filename)!r}: {error.strerror}.", hint=_RECORD_AGAIN
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DataError(
            f"{str(source / _MANIFEST)!r} is damaged: it lists no hashes.", hint=_RECORD_AGAIN
        ) from None
    if version != CASE_VERSION:
        raise DataError(
            f"Case {str(source)!r} has version {version!r}; this reads version {CASE_VERSION}.",
            hint="Record the case again with this version of Spikewright.",
        )
    damaged = [f"{name} does not match its hash" for name in _FILES if found[name] != hashes[name]]
    if damaged:
        raise DataError(f"Case {str(source)!r} is damaged:", reasons=damaged, hint=_RECORD_AGAIN)
    image = CoreImage.load(source / "image.core")
    return Case(
        image,
        fit_spikes(read_spikes(source / "spikes.npz"), image),
        read_result(source / "golden.npz"),
    )


def first_difference(recorded: RunResult, result: RunResult) -> str:
    """Say where two results first differ, by sample and timestep; empty if they are equal.

    Compared is what both have: ``v``, ``spikes`` and ``cycles``, or ``total_cycles`` where a target
    does not tell timesteps apart.
    """
    pairs = {
        name: (getattr(recorded, name), getattr(result, name))
        for name in ("v", "spikes", "cycles", "total_cycles")
    }
    if result.cycles is not None:
        del pairs["total_cycles"]
    found = []
    for name, (old, new) in pairs.items():
        if old is None or new is None:
            continue
        if old.shape != new.shape:
            return f"{name} has shape {list(new.shape)}, recorded is {list(old.shape)}."
        where = np.argwhere(old != new)
        if len(where):
            at = tuple(int(index) for index in where[0])
            place = ", ".join(map("{} {}".format, ("sample", "timestep", "neuron"), at))
            found.append((
                at[:2],
                f"{place}: {name} is {int(new[at])}, recorded is {int(old[at])}.",
            ))
    return min(found)[1].capitalize() if found else ""


def find_cases(folder: Path | str) -> list[Path]:
    """Folders at or below this one that are cases, whole or not, in order of their names.

    Raises
    ------
    DataError
        There is none.
    """
    root = Path(folder)
    cases = sorted({
        path.parent
        for name in (_MANIFEST, *_FILES)
        for path in root.rglob(name)
        if not path.parent.name.startswith(".")
    })
    if not cases:
        raise DataError(
            f"No case in {str(root)!r}.",
            hint="Make one with: spikewright record IMAGE --spikes in.npz -o FOLDER/NAME",
        )
    return cases


def regress(
    folder: Path | str,
    targets: Sequence[str] = TARGETS,
    *,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Run every case of a folder on every target; what goes wrong with one is its outcome.

    Parameters
    ----------
    folder : path
        Searched for cases, at any depth.
    targets : sequence of str
        As :func:`spikewright.target.open_target` takes them.
    progress : callable
        Told of each outcome by 1.

    Raises
    ------
    DataError
        No case in the folder.
    """
    root = Path(folder)
    outcomes = []
    for case in find_cases(root):
        name = root.name if case == root else case.relative_to(root).as_posix()
        for target in targets:
            started = time.perf_counter()
            status, message = _run(case, target)
            outcomes.append(Outcome(name, target, status, message, time.perf_counter() - started))
            if progress is not None:
                progress(1)
    return outcomes


def _run(folder: Path, name: str) -> tuple[Status, str]:
    try:
        case = load_case(folder)
        target = open_target(name)
        try:
            target.load(case.image)
            result = target.run(case.spikes, record_v=True)
        finally:
            target.close()
        difference = first_difference(case.golden, result)
    except SpikewrightError as error:
        return "error", str(error)
    except Exception as error:  # whatever one case holds, the others run
        return "error", f"Unexpected {type(error).__name__}: {error}"
    return ("failed", difference) if difference else ("passed", "")


def junit_xml(outcomes: Sequence[Outcome]) -> bytes:
    """A report that CI services read: JUnit XML, a test case for each outcome."""
    counts = {
        "tests": len(outcomes),
        "failures": sum(outcome.status == "failed" for outcome in outcomes),
        "errors": sum(outcome.status == "error" for outcome in outcomes),
    }
    attributes = {name: str(count) for name, count in counts.items()}
    attributes["time"] = f"{sum(outcome.seconds for outcome in outcomes):.3f}"
    suites = ElementTree.Element("testsuites", attributes)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": "spikewright", **attributes})
    for outcome in outcomes:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=_xml_text(outcome.target),
            name=_xml_text(outcome.case),
            time=f"{outcome.seconds:.3f}",
        )
        if outcome.status != "passed":
            tag = "failure" if outcome.status == "failed" else "error"
            text = _xml_text(outcome.message)
            ElementTree.SubElement(case, tag, message=text.splitlines()[0]).text = text
    ElementTree.indent(suites)
    report: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return report


def _xml_text(text: str) -> str:
    """Replace what XML 1.0 cannot hold, such as control characters of a file name."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
