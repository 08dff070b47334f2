"""Fault campaign of the link at length, resumable: `make link`, which writes build/link.json.

Each result of the host must be the golden model's, or a typed error in the stated time: 10 million
frames to the byte-level model of the device, and each class of faults 1,000 times through the
Verilated design behind its pseudo-terminal. Every other session is with a core that learns, but
for bit flips of 1e-5 and less through the RTL, where runs are long.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from link_campaign import CLASSES, Tally, batch
from link_cases import draw_case
from link_rtl import RARE, RTL, interrupt_everywhere, rtl_case

from spikewright.errors import SpikewrightError
from spikewright.storage import replace_file

_RTL = "RTL: "
_INTERRUPTED = "interrupted loads"
_RTL_CLASSES = (*CLASSES, _INTERRUPTED)


@dataclass(frozen=True)
class Plan:
    """What a campaign runs; equal plans run the same on the byte-level model.

    Parameters
    ----------
    frames : int
        Over lines to the byte-level model, in all classes together, at least.
    faults : int
        Of each class through the RTL.
    seed : int
        Of everything.
    batch_frames, batch_faults : int
        Frames to the model, and faults of a class through the RTL, after which results are kept.
    """

    frames: int = 10_000_000
    faults: int = 1000
    seed: int = 0
    batch_frames: int = 25_000
    batch_faults: int = 125

    def jobs(self) -> list[str]:
        """Names of all batches, those through the RTL in between, the longest of them last."""
        count = -(-self.frames // len(CLASSES) // self.batch_frames)
        model = [f"{name} #{n}" for n in range(count) for name in CLASSES]
        count = -(-self.faults // self.batch_faults)
        rtl = [f"{_RTL}{_INTERRUPTED} #{n}" for n in range(2 if count else 0)]
        rtl += [f"{_RTL}{name} #{n}" for n in range(count) for name in CLASSES if name not in RARE]
        rtl += [f"{_RTL}{name} #{n}" for name in reversed(RARE) for n in range(count)]
        jobs = [(k / len(part), job) for part in (model, rtl) for k, job in enumerate(part)]
        return [job for _, job in sorted(jobs)]


def run_job(job: str, plan: Plan) -> Tally:
    """Run one batch."""
    name, _, number = job.rpartition(" #")
    seed, learns = plan.seed * 1_000_000 + int(number), bool(int(number) % 2)
    if not name.startswith(_RTL):
        return batch(name, seed, plan.batch_frames)
    name = name.removeprefix(_RTL)
    with RTL(rtl_case(name, learns)) as rtl:
        if name == _INTERRUPTED:
            cases = draw_case(learns, 1), draw_case(learns, 0)
            return interrupt_everywhere(cases, rtl)
        return rtl.batch(name, seed, plan.batch_faults)


class Campaign:
    """A plan, its results so far, and the file that keeps them.

    Raises
    ------
    SpikewrightError
        The file is of another plan, or cannot be read.
    """

    def __init__(self, plan: Plan, state: Path) -> None:
        self.plan = plan
        self.results: dict[str, Tally] = {}
        self._state = state
        if state.exists():
            self._read()

    def run(self, *, workers: int, limit_s: float) -> Iterator[tuple[str, Tally]]:
        """Run what is left, as long as there is time, and give results as they come."""
        end = time.monotonic() + limit_s
        left = [job for job in self.plan.jobs() if job not in self.results]
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            jobs = {pool.submit(run_job, job, self.plan): job for job in left}
            try:
                for done in as_completed(jobs):
                    self.results[jobs[done]] = done.result()
                    self._write()
                    yield jobs[done], done.result()
                    if time.monotonic() > end:
                        return
            finally:
                pool.shutdown(cancel_futures=True)

    def classes(self) -> dict[str, dict[str, Any]]:
        """What came of each class, all its batches together."""
        sums: dict[str, Tally] = {}
        for job, tally in sorted(self.results.items()):
            total = sums.setdefault(job.rpartition(" #")[0], Tally())
            for field in fields(Tally):
                old, new = getattr(total, field.name), getattr(tally, field.name)
                longest = field.name in ("slowest_s", "limit_s")
                setattr(total, field.name, max(old, new) if longest else old + new)
        order = [*CLASSES, *(f"{_RTL}{name}" for name in _RTL_CLASSES)]
        return {name: vars(sums[name]) for name in order if name in sums}

    @property
    def total(self) -> dict[str, Any]:
        """The result in a few numbers."""
        of_models = [t for job, t in self.results.items() if not job.startswith(_RTL)]
        seconds = sum(tally.seconds for tally in of_models)
        frames = sum(tally.frames for tally in of_models)
        return {
            "frames": frames,
            "rtl_frames": sum(t.frames for t in self.results.values()) - frames,
            "wrong": sum(tally.wrong for tally in self.results.values()),
            "frames_per_cpu_s": round(frames / seconds) if seconds else 0,
            "rtl_fewest_faults": self._fewest_faults(),
            "complete": set(self.plan.jobs()) <= set(self.results),
        }

    def _fewest_faults(self) -> int:
        """Of a class, through the RTL."""
        classes = self.classes()
        none = vars(Tally())
        return min(int(classes.get(f"{_RTL}{name}", none)["faults"]) for name in CLASSES)

    def _read(self) -> None:
        try:
            content = json.loads(self._state.read_text())
            plan, results = content["plan"], content["results"]
            if plan == asdict(self.plan) and set(results) <= set(self.plan.jobs()):
                self.results = {
                    job: Tally(**{**tally, "errors": Counter(tally["errors"])})
                    for job, tally in results.items()
                }
                return
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SpikewrightError(
                f"Cannot go on from {str(self._state)!r}: {error!r}.", hint="Delete the file."
            ) from None
        raise SpikewrightError(
            f"{str(self._state)!r} is of another plan or of other classes of faults: {plan}, "
            f"not {asdict(self.plan)}.",
            hint="Delete the file, or name another one with --state.",
        )

    def _write(self) -> None:
        content = {
            "plan": asdict(self.plan),
            "total": self.total,
            "classes": self.classes(),
            "results": {job: vars(tally) for job, tally in sorted(self.results.items())},
        }
        self._state.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._state, (json.dumps(content, indent=1) + "\n").encode())


def show(classes: Mapping[str, Mapping[str, Any]]) -> None:
    """Print a table, a line a class."""
    kinds = sorted({kind for row in classes.values() for kind in row["errors"]})
    short = [kind.removesuffix("Error").lower() for kind in kinds]
    heads = ("frames", "MB", "faults", "right", *short, "wrong", "wait", "limit")
    widths = (10, 6, 8, 8, *(max(7, len(head) + 1) for head in short), 6, 6, 6)
    for prefix, title in (("", "To the byte-level model"), (_RTL, "Through the RTL")):
        rows = {name: row for name, row in classes.items() if name.startswith(_RTL) == bool(prefix)}
        if rows:
            print(f"\n{title:29}" + "".join(map("{:>{}}".format, heads, widths)))
        for name, row in rows.items():
            errors = (row["errors"].get(kind, 0) for kind in kinds)
            counts = (row["faults"], row["right"], *errors, row["wrong"])
            print(
                f"{name.removeprefix(prefix):29}{row['frames']:10,}{row['bytes'] / 1e6:6.1f}"
                + "".join(map("{:{},}".format, counts, widths[2:]))
                + f"{row['slowest_s']:6.2f}{row['limit_s']:6.2f}"
            )
            for failure in row["failures"]:
                print(f"  {failure}")
    print(
        f"\nright, {', '.join((*short, 'wrong'))}: what came of operations; typed errors between."
        "\nwait, limit: the longest wait for a reply, and the longest that is stated [s].\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is left of the plan; the exit code is 1 if any result was wrong."""
    parser = argparse.ArgumentParser(prog="link", description=__doc__)
    parser.add_argument("--frames", type=float, default=float(Plan.frames), help="to the model")
    parser.add_argument("--faults", type=int, default=Plan.faults, help="a class, through the RTL")
    parser.add_argument(
        "--batch", type=int, default=Plan.batch_frames, help="frames between two results"
    )
    parser.add_argument(
        "--batch-faults", type=int, default=Plan.batch_faults, help="faults between two"
    )
    parser.add_argument("--seed", type=int, default=Plan.seed, help="of everything")
    parser.add_argument("--state", type=Path, default=Path("build/link.json"), help="results")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after these; go on later")
    options = parser.parse_args(arguments)
    plan = Plan(
        int(options.frames), options.faults, options.seed, options.batch, options.batch_faults
    )
    try:
        campaign = Campaign(plan, options.state)
        for job, tally in campaign.run(workers=options.workers, limit_s=60 * options.minutes):
            print(
                f"{job}: {tally.frames:,} frames, {tally.faults:,} faults, {tally.wrong} wrong in "
                f"{tally.seconds:.0f} s; {len(campaign.results)} of {len(plan.jobs())} batches",
                flush=True,
            )
    except SpikewrightError as error:
        print(error, file=sys.stderr)
        return 1
    show(campaign.classes())
    print(json.dumps(campaign.total))
    return int(campaign.total["wrong"] > 0 or not campaign.total["complete"])


if __name__ == "__main__":
    sys.exit(main())
