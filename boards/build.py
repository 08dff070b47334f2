"""From a spec to a bitstream for a board, once: what was built of the same is found again."""

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import spikewright
from spikewright.errors import DataError, ToolError
from spikewright.frames import ID_SIZE
from spikewright.spec import CoreSpec

from .board import Board
from .flows import Flow, cells_of, flow_of
from .tools import Step, run_step, tool_versions

if TYPE_CHECKING:
    from amaranth.lib import wiring

__all__ = ["MANIFEST", "BuildPlan", "BuildResult", "build", "plan_build"]

MANIFEST = "manifest.json"
"""Says what a folder's bitstream is. Written last, so a folder with it is whole."""

_SCRATCH = ("top.il", "top.json", "routed.json", "top.asc", "top.config")
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What a build will do.

    Attributes
    ----------
    board : Board
    spec : CoreSpec
    flow : Flow
    key : str
        Hash of everything that the result depends on, in hexadecimal.
    versions : dict of str to str
        Of the tools.
    folder : Path
        Where the result goes: named by board and key.
    """

    board: Board
    spec: CoreSpec
    flow: Flow
    key: str
    versions: dict[str, str]
    folder: Path

    @property
    def build_id(self) -> bytes:
        """What the device answers as its build: the head of the key."""
        return bytes.fromhex(self.key)[:ID_SIZE]

    @property
    def commands(self) -> list[str]:
        """Every command, as typed in :attr:`folder`, with the first seed."""
        return [step.command for step in self.flow.steps(self.board.seeds[0])]


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build left.

    Attributes
    ----------
    folder : Path
    manifest : dict
        Content of :data:`MANIFEST`: board, spec, hashes, clock, utilization, tools.
    cached : bool
        Whether it had been built before.
    """

    folder: Path
    manifest: dict[str, Any]
    cached: bool

    @property
    def bitstream(self) -> Path | None:
        """The bitstream; None where Vivado has to make it."""
        file = self.manifest["bitstream"]
        return self.folder / file["file"] if file else None


def plan_build(board: Board, spec: CoreSpec | None = None, root: Path | None = None) -> BuildPlan:
    """Say what a build would do, and do nothing.

    Parameters
    ----------
    board : Board
    spec : CoreSpec, optional
        By default the board's own.
    root : Path, optional
        Folder of the folders of results, by default ``build/boards``.

    Raises
    ------
    SpecError
        The board's link cannot carry the spec.
    ToolError
        A tool is not installed.
    """
    spec = spec or board.spec
    flow = flow_of(board)
    versions = tool_versions(step.tool for step in flow.steps(board.seeds[0]))
    parts = [
        json.dumps(asdict(board), sort_keys=True),
        json.dumps(asdict(board.link(spec)), sort_keys=True),
        json.dumps(versions, sort_keys=True),
        spec.to_json(),
        *_sources(),
    ]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part.encode()).digest())
    key = digest.hexdigest()
    folder = (root or Path("build/boards")) / f"{board.name}-{key[:12]}"
    return BuildPlan(board, spec, flow, key, versions, folder)


def _sources() -> list[str]:
    """Text of all that the design and its build are made by."""
    root = Path(spikewright.__file__).parent
    folders = (root, root / "hdl", root / "boards")
    return [path.read_text() for folder in folders for path in sorted(folder.glob("*.py"))]


def build(plan: BuildPlan, *, report: Report | None = None) -> BuildResult:
    """Build, or find what an earlier call built of the same.

    Parameters
    ----------
    plan : BuildPlan
    report : callable
        Given one line of text when a command starts.

    Raises
    ------
    ToolError
        A tool fails, the design does not fit the part, or its clock is missed with every seed of
        the board; logs are then in the folder beside.
    DataError
        The folder cannot be written.
    """
    manifest = _found(plan)
    if manifest is not None:
        return BuildResult(plan.folder, manifest, cached=True)
    try:
        plan.folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{plan.folder.name}-", dir=plan.folder.parent))
    except OSError as error:
        raise DataError(
            f"Cannot write to {plan.folder.parent}: {error.strerror}.",
            hint="Name another folder: --output FOLDER.",
        ) from None
    failed = plan.folder.with_name(f"{plan.folder.name}-failed")
    shutil.rmtree(failed, ignore_errors=True)
    try:
        manifest = _make(plan, work, report or (lambda text: None))
    except ToolError as error:
        work.rename(failed)
        hint = error.hint.replace(str(work), str(failed))
        raise ToolError(error.what, reasons=error.reasons, hint=hint) from None
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    for name in _SCRATCH:
        (work / name).unlink(missing_ok=True)
    (work / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    shutil.rmtree(plan.folder, ignore_errors=True)
    with suppress(OSError):  # another build of the same came first
        work.rename(plan.folder)
    return BuildResult(plan.folder, manifest, cached=False)


def _found(plan: BuildPlan) -> dict[str, Any] | None:
    """The manifest of the same build, if all that it names is there and whole."""
    try:
        manifest: dict[str, Any] = json.loads((plan.folder / MANIFEST).read_text())
        file = manifest["bitstream"]
        whole = file is None or _sha256(plan.folder / file["file"]) == file["sha256"]
        return manifest if whole and manifest["key"] == plan.key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def design_of(plan: BuildPlan) -> "wiring.Component":
    """The RTL; what imports it stays in here, so that a build that is found needs none."""
    from .design import BoardDesign

    return BoardDesign(plan.board, plan.spec, build_id=plan.build_id)


def _make(plan: BuildPlan, folder: Path, report: Report) -> dict[str, Any]:
    from spikewright.hdl.emit import to_rtlil, to_verilog

    board, flow = plan.board, plan.flow
    design = design_of(plan)
    (folder / "top.il").write_text(to_rtlil(design, name="top"))
    for name, text in flow.files.items():
        (folder / name).write_text(text)
    if flow.placement is None:
        (folder / "top.v").write_text(to_verilog(design, name="top"))
    for step in flow.synthesis:
        _run(step, folder, report)
    clock = _place(plan, folder, report)
    if flow.packing:
        _run(flow.packing, folder, report)
    return {
        "board": board.name,
        "device": board.device,
        "spec": json.loads(plan.spec.to_json()),
        "spec_hash": plan.spec.hash,
        "link": asdict(board.link(plan.spec)),
        "build_id": plan.build_id.hex(),
        "key": plan.key,
        "tools": plan.versions,
        "clock": clock,
        "utilization": _utilization(folder),
        "cells": cells_of(folder),
        "bitstream": (
            {"file": flow.bitstream, "sha256": _sha256(folder / flow.bitstream)}
            if flow.bitstream
            else None
        ),
    }


def _run(step: Step, folder: Path, report: Report) -> None:
    report(f"{step.title}: {step.tool}")
    run_step(step, folder)


def _place(plan: BuildPlan, folder: Path, report: Report) -> dict[str, Any] | None:
    """Place and route with one seed after the other until the clock is met."""
    board, tried = plan.board, []
    for seed in board.seeds:
        step = plan.flow.place(seed)
        if step is None:
            return None
        _run(step, folder, report)
        hz = _achieved_hz(folder)
        if hz >= board.core_hz:
            return {"wanted_hz": board.core_hz, "achieved_hz": round(hz), "seed": seed}
        tried.append(hz)
        report(f"{_mhz(hz)} with seed {seed}; {board.core_hz / 1e6:g} MHz are wanted")
    raise ToolError(_missed(board, tried), hint=_missed_hint(folder))


def _achieved_hz(folder: Path) -> float:
    """The slowest clock of a placed design."""
    clocks = json.loads((folder / "report.json").read_text())["fmax"].values()
    if not clocks:
        raise ToolError(
            "nextpnr found no path to time.", hint=f"Its log is {folder / 'nextpnr.log'}."
        )
    return min(float(clock["achieved"]) for clock in clocks) * 1e6


def _mhz(hz: float) -> str:
    """Rounded down: what is missed by a little must not read as met."""
    return f"{math.floor(hz / 1e5) / 10:.1f} MHz"


def _missed(board: Board, tried: Sequence[float]) -> str:
    best = max(tried)
    short = math.ceil(1000 * (1 - best / board.core_hz)) / 10
    return (
        f"Clock is missed: {_mhz(best)} at best, {short:.1f} % below the "
        f"{board.core_hz / 1e6:g} MHz of {board.name}, with seeds "
        f"{', '.join(map(str, board.seeds))}."
    )


def _missed_hint(folder: Path) -> str:
    return (
        "Build a smaller core (fewer lanes, neurons or state_bits; decay 'multiply' where the part "
        f"has multipliers left). The critical path is in {folder / 'nextpnr.log'}."
    )


def _utilization(folder: Path) -> dict[str, dict[str, int]] | None:
    """What nextpnr placed of each kind of cell, and how many the part has."""
    report = folder / "report.json"
    if not report.exists():
        return None
    found: dict[str, dict[str, int]] = json.loads(report.read_text())["utilization"]
    return {name: entry for name, entry in sorted(found.items()) if entry["used"]}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
