"""``make formal``: every claim proved, and every mutant caught."""

import argparse
import itertools
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from formal.claims import CLAIMS, Claim
from formal.engine import break_it, prove
from rich.console import Console
from rich.table import Table

from spikewright.errors import SpikewrightError

FOLDER = Path("build/formal")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make formal", description=__doc__)
    parser.add_argument("--only", default="", help="claims whose names have this in them")
    wanted = parser.parse_args(arguments).only.casefold()
    claims = [claim for claim in CLAIMS if wanted in claim.name.casefold()]
    if not claims:
        parser.error(f"no claim has {wanted!r} in its name; there are: {names()}")
    console = Console(stderr=True)
    rows = []
    try:
        for claim in claims:
            with console.status(claim.name) as status:
                for size in claim.sizes:
                    status.update(f"{claim.name} {size}: proof")
                    rows.append(proof(claim, size))
                status.update(f"{claim.name}: mutants")
                rows[-len(claim.sizes)]["mutants"] = mutants(claim)
    except SpikewrightError as error:
        console.print(str(error), markup=False)
        return 1
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    FOLDER.with_suffix(".json").write_text(json.dumps(rows, indent=2) + "\n")
    Console().print(table(rows))
    caught = [mutant["caught"] for row in rows for mutant in row.get("mutants", ())]
    good = all(row["proved"] for row in rows) and all(caught)
    if not good:
        console.print(f"Not everything holds; traces are in {FOLDER}.")
    return 0 if good else 1


def names() -> str:
    return ", ".join(claim.name for claim in CLAIMS)


def proof(claim: Claim, size: str) -> dict[str, Any]:
    """Prove a claim for a size; what the table says of it."""
    folder = FOLDER / f"{claim.name} {size}".strip().replace(" ", "-").replace(",", "")
    outcome = prove(claim.true(size), window=claim.window, folder=folder)
    return {
        "claim": claim.name,
        "says": claim.says,
        "size": size,
        "proved": outcome.status == "PASS",
        **asdict(outcome),
    }


def mutants(claim: Claim) -> list[dict[str, Any]]:
    """Find traces that show the faults of a claim's mutants."""
    found = []
    for number, mutant in enumerate(claim.mutants, start=1):
        folder = FOLDER / f"{claim.name} mutant {number}".replace(" ", "-")
        outcome = break_it(claim.false(mutant), depth=claim.depth, folder=folder)
        found.append({"caught": outcome.status == "FAIL", **asdict(mutant), **asdict(outcome)})
    return found


def table(rows: list[dict[str, Any]]) -> Table:
    made = Table("claim", "for", "induction", "seconds", "mutants", show_lines=True)
    for name, group in itertools.groupby(rows, key=lambda row: row["claim"]):
        proofs = list(group)
        faults = proofs[0]["mutants"]
        made.add_row(
            f"[bold]{name}[/]: {proofs[0]['says']}",
            "\n".join(row["size"] for row in proofs),
            "\n".join(f"k = {row['steps']}" if row["proved"] else row["status"] for row in proofs),
            "\n".join(f"{row['seconds']:.1f}" for row in proofs),
            "\n".join(
                f"caught in cycle {fault['steps']}" if fault["caught"] else "NOT CAUGHT"
                for fault in faults
            ),
        )
    return made


if __name__ == "__main__":
    sys.exit(main())
