"""Fault campaign of the link at length, resumable: `make link`, which writes build/link.json.

Each result of the host must be the golden model's, or a typed error in the stated time: 10 million
frames to the byte-level model of the device, and each class of faults 1,000 times through the
Verilated design behind its pseudo-terminal.
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
from link_rtl import RTL, interrupt_everywhere

from spikewright.errors import SpikewrightError
from spikewright.storage import replace_file

_RTL = "RTL: "
_INTERRUPTED = "interrupted loads"


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
    batch_frames : int
        Frames after which results are kept.
    """

    frames: int = 10_000_000
    faults: int = 1000
    seed: int = 0
    batch_frames: int = 25_000

    def jobs(self) -> list[str]:
        """Names of all batches, those through the RTL in between."""
        count = -(-self.frames // len(CLASSES) // self.batch_frames)
        rtl = [f"{_RTL}{name}" for name in (*CLASSES, _INTERRUPTED)] if self.faults else []
        jobs = [f"{name} #{n}" for n in range(count) for name in CLASSES]
        for k, job in enumerate(rtl):
            jobs.insert(k * len(jobs) // len(rtl), job)
        return jobs


def run_job(job: str, plan: Plan) -> Tally:
    """Run one batch."""
    if job.startswith(_RTL):
        with RTL() as rtl:
            if job.endswith(_INTERRUPTED):
                cases = draw_case(False, 1), draw_case(False, 0)
                return interrupt_everywhere(cases, rtl.board.path, rtl.line)
            return rtl.batch(job.removeprefix(_RTL), plan.seed, plan.faults)
    name, _, number = job.rpartition(" #")
    return batch(name, plan.seed * 1_000_000 + int(number), plan.batch_frames)


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
            total = sums.setdefault(job.rpartition(" #")[0] or job, Tally())
            for field in fields(Tally):
                old, new = getattr(total, field.name), getattr(tally, field.name)
                longest = field.name in ("slowest_s", "limit_s")
                setattr(total, field.name, max(old, new) if longest else old + new)
        order = [*CLASSES, *(f"{_RTL}{name}" for name in (*CLASSES, _INTERRUPTED))]
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
            "complete": set(self.plan.jobs()) <= set(self.results),
        }

    def _read(self) -> None:
        try:
            content = json.loads(self._state.read_text())
            plan = Plan(**content["plan"])
            self.results = {
                job: Tally(**{**tally, "errors": Counter(tally["errors"])})
                for job, tally in content["results"].items()
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SpikewrightError(
                f"Cannot go on from {str(self._state)!r}: {error!r}.", hint="Delete the file."
            ) from None
        if plan != self.plan:
            raise SpikewrightError(
                f"{str(self._state)!r} is of {plan}, not of {self.plan}.",
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
    """A table, a line a class."""
    heads = ("frames", "faults", "right", "errors", "wrong", "slowest")
    print(f"{'':36}" + "".join(f"{head:>12}" for head in heads))
    for name, row in classes.items():
        numbers = (row["frames"], row["faults"], row["right"], sum(row["errors"].values()))
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in row["errors"].items())
        print(
            f"{name:36}"
            + "".join(f"{number:12,}" for number in (*numbers, row["wrong"]))
            + f"{row['slowest_s']:10.2f} s  {kinds}"
        )
        for failure in row["failures"]:
            print(f"  {failure}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is left of the plan; the exit code is 1 if any result was wrong."""
    parser = argparse.ArgumentParser(prog="link", description=__doc__)
    parser.add_argument("--frames", type=float, default=float(Plan.frames), help="to the model")
    parser.add_argument("--faults", type=int, default=Plan.faults, help="a class, through the RTL")
    parser.add_argument(
        "--batch", type=int, default=Plan.batch_frames, help="frames between two results"
    )
    parser.add_argument("--seed", type=int, default=Plan.seed, help="of everything")
    parser.add_argument("--state", type=Path, default=Path("build/link.json"), help="results")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after these; go on later")
    options = parser.parse_args(arguments)
    plan = Plan(int(options.frames), options.faults, options.seed, options.batch)
    try:
        campaign = Campaign(plan, options.state)
        for job, tally in campaign.run(workers=options.workers, limit_s=60 * options.minutes):
            total = campaign.total
            print(
                f"{job}: {tally.frames:,} frames in {tally.seconds:.0f} s, {tally.wrong} wrong; "
                f"{total['frames']:,} frames so far",
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
