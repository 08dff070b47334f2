"""The commands that list boards and build bitstreams."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikewright.console import Console, Table

if TYPE_CHECKING:
    from spikewright.boards.board import Board
    from spikewright.boards.build import BuildPlan, BuildResult
    from spikewright.boards.estimate import Estimate
    from spikewright.spec import CoreSpec

__all__ = ["boards", "build"]

BoardName = Annotated[str, typer.Option("--board", help="As spikewright boards lists them.")]


def boards(console: Console) -> None:
    """List the boards: their parts, and the core that fits each."""
    from spikewright.boards.catalog import BOARDS

    rows = []
    for board in BOARDS.values():
        part, spec = board.part, board.spec
        rows.append((
            board.name,
            board.title,
            f"{part.cells:,}",
            str(part.block_rams) + (f" + {part.large_rams} large" if part.large_rams else ""),
            str(part.multipliers),
            f"{board.core_hz / 1e6:g}",
            _core(spec),
            "Vivado" if part.family == "xc7" else "open",
        ))
    columns = ("board", "what it is", "LUTs", "block RAMs", "multipliers", "MHz", "core", "tools")
    found = [
        {
            "name": board.name,
            "title": board.title,
            "part": asdict(board.part),
            "core_hz": board.core_hz,
            "baud_hz": board.baud_hz,
            "spec": asdict(board.spec),
            "spec_hash": board.spec.hash,
        }
        for board in BOARDS.values()
    ]
    console.result(
        {"boards": found},
        Table(columns, rows),
        "core: axons x neurons, lanes of bits, synapses that its weight memory holds.",
    )


def _core(spec: "CoreSpec") -> str:
    synapses = spec.weight_words * spec.lanes
    return f"{spec.axons} x {spec.neurons}, {spec.lanes} of {spec.weight_bits}, {synapses:,}"


def build(
    console: Console,
    board: BoardName,
    spec: Annotated[
        Path | None, typer.Option(help="Core to build, as JSON; by default the board's own.")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="Core image whose core to build.")] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the folders of results.")
    ] = Path("build/boards"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print every command and write nothing.")
    ] = False,
) -> None:
    """Build a bitstream: synthesis, place and route; what was built before is found again."""
    if spec and image:
        raise typer.BadParameter("--spec and --image exclude each other.")
    from spikewright.boards.build import build as make
    from spikewright.boards.build import plan_build
    from spikewright.boards.catalog import find_board
    from spikewright.files import read_spec
    from spikewright.image import CoreImage

    core = CoreImage.load(image).spec if image else read_spec(spec) if spec else None
    plan = plan_build(find_board(board), core, output)
    if dry_run:
        from spikewright.boards.estimate import estimate

        guess = estimate(plan.board, plan.spec)
        console.result(
            {**_plan_facts(plan), "estimate": asdict(guess)},
            *_plan_lines(plan),
            *_estimate_parts(guess),
        )
        return
    with console.progress(f"Building for {board}"):
        result = make(plan, report=console.note)
    console.result(_result_facts(result), *_result_lines(plan.board, result))


def _plan_facts(plan: "BuildPlan") -> dict[str, Any]:
    return {
        "board": plan.board.name,
        "spec_hash": plan.spec.hash,
        "key": plan.key,
        "folder": str(plan.folder),
        "files": sorted(plan.flow.files),
        "commands": plan.commands,
        "tools": plan.versions,
    }


def _plan_lines(plan: "BuildPlan") -> list[str]:
    seeds = ", ".join(map(str, plan.board.seeds[1:]))
    again = [f"# while the clock is missed, again with seeds {seeds}"]
    return [
        f"# in {plan.folder}, with top.il and {', '.join(sorted(plan.flow.files))}",
        *plan.commands,
        *(again if plan.flow.placement and seeds else []),
    ]


def _estimate_parts(guess: "Estimate") -> list[Table | str]:
    rows = [
        (name, f"{need:,}", f"{has:,}", _share(need, has))
        for name, (need, has) in guess.needs.items()
        if has
    ]
    table = Table(("cells", "needed", "of", "share"), rows, title="Estimate")
    if guess.clock_hz is None:
        return [table]
    return [table, f"Cores of this family were placed at {guess.clock_hz / 1e6:g} MHz."]


def _result_facts(result: "BuildResult") -> dict[str, Any]:
    bitstream = result.bitstream
    return {
        "folder": str(result.folder),
        "bitstream_path": str(bitstream) if bitstream else None,
        "cached": result.cached,
        **result.manifest,
    }


def _result_lines(board: "Board", result: "BuildResult") -> list[Table | str]:
    used = result.manifest["utilization"]
    parts: list[Table | str] = []
    if used:
        rows = [
            (
                name,
                f"{entry['used']:,}",
                f"{entry['available']:,}",
                _share(entry["used"], entry["available"]),
            )
            for name, entry in used.items()
            if entry["available"]
        ]
        parts.append(Table(("cells", "used", "of", "share"), rows))
    else:
        cells: dict[str, int] = result.manifest["cells"]
        luts = sum(count for name, count in cells.items() if name.startswith("LUT"))
        counts = [(name, f"{count:,}") for name, count in cells.items()]
        counts.append(("all LUTs for logic", f"{luts:,}"))
        parts.append(Table(("cells", "used"), counts, title="Area by yosys"))
    clock = result.manifest["clock"]
    if clock:
        parts.append(
            f"Clock: {clock['achieved_hz'] / 1e6:.1f} MHz, {clock['wanted_hz'] / 1e6:g} wanted "
            f"(seed {clock['seed']})."
        )
    again = "Built before: " if result.cached else "Built "
    if result.bitstream:
        parts.append(f"{again}{result.bitstream}.")
    else:
        parts.append(
            f"{again}{result.folder}, a Vivado project. {board.title} needs Vivado for a "
            f"bitstream: cd {result.folder} && vivado -mode batch -source build.tcl"
        )
    return parts


def _share(used: int, available: int) -> str:
    return f"{100 * used / available:.0f} %"
