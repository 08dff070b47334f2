"""Lockstep at length: many random specs, 100 million neuron-steps and more, resumable."""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from spikewright.errors import MismatchError, SpikewrightError
from spikewright.storage import replace_file

from .cases import draw_case, draw_spec
from .compare import lockstep
from .verilator import CoreSimulator

__all__ = ["Plan", "Soak", "SpecResult", "main", "soak_spec"]

NETWORKS = 12
"""Networks a spec, each with a stimulus of its own."""


@dataclass(frozen=True)
class Plan:
    """What a soak runs; equal plans run the same.

    Parameters
    ----------
    specs : int
        Random specs.
    neuron_steps : int
        Neuron updates compared, in all of them together, at least.
    seed : int
        Of everything.
    """

    specs: int = 200
    neuron_steps: int = 100_000_000
    seed: int = 0

    def spec_timesteps(self) -> int:
        """Timesteps a spec; the same for all, so that large ones get more neuron-steps."""
        drawn = (draw_spec(np.random.default_rng((self.seed, k))) for k in range(self.specs))
        neurons = sum(spec.neurons for spec in drawn)
        return -(-self.neuron_steps // neurons)


@dataclass(frozen=True)
class SpecResult:
    """What lockstep found on one spec.

    Attributes
    ----------
    spec : int
        Its number in the plan.
    networks, timesteps, neuron_steps, spikes, cycles : int
        Compared.
    seconds : float
        Wall-clock time with building.
    failures : tuple of str
        Each with its seed, its spec, its recipe and the first difference.
    """

    spec: int
    networks: int
    timesteps: int
    neuron_steps: int
    spikes: int
    cycles: int
    seconds: float
    failures: tuple[str, ...]


def soak_spec(plan: Plan, number: int, timesteps: int, waveforms: Path | None = None) -> SpecResult:
    """Run the networks of one spec of a plan in lockstep, with and without stalls.

    Parameters
    ----------
    plan : Plan
        The whole soak.
    number : int
        Which spec, from 0.
    timesteps : int
        Timesteps in all, at least; more where not all neurons are in use.
    waveforms : Path, optional
        Folder for waveforms of first differences.
    """
    started = time.monotonic()
    spec = draw_spec(np.random.default_rng((plan.seed, number)))
    wanted = timesteps * spec.neurons
    failures = []
    done = np.zeros(4, np.int64)
    networks = 0
    with CoreSimulator(spec, seed=number + 1) as simulator:
        while done[1] < wanted:
            seed = (plan.seed, number, networks)
            case = draw_case(seed, spec=spec, timesteps=-(-timesteps // NETWORKS // 2), samples=2)
            networks += 1
            try:
                report = lockstep(
                    case.image,
                    case.spikes,
                    simulator,
                    stall_seed=networks if networks % 2 else None,
                    waveforms=waveforms and waveforms / "-".join(map(str, seed)),
                )
                done += (report.timesteps, report.neuron_steps, report.spikes, report.cycles)
                report.check()
            except MismatchError as error:
                failures.append(f"seed {seed}\n{case}\n{error}")
                break
    seconds = time.monotonic() - started
    compared, neuron_steps, spikes, cycles = done.tolist()
    return SpecResult(
        spec=number,
        networks=networks,
        timesteps=compared,
        neuron_steps=neuron_steps,
        spikes=spikes,
        cycles=cycles,
        seconds=round(seconds, 1),
        failures=tuple(failures),
    )


class Soak:
    """A plan, its results so far, and the file that keeps them.

    Parameters
    ----------
    plan : Plan
        What to run.
    state : Path
        JSON file to go on from, and to write after every spec.

    Raises
    ------
    SpikewrightError
        The file is of another plan, or cannot be read.
    """

    def __init__(self, plan: Plan, state: Path) -> None:
        self.plan = plan
        self.results: dict[int, SpecResult] = {}
        self._state = state
        self._seconds = 0.0
        if state.exists():
            self._read()

    def run(self, *, workers: int, waveforms: Path | None = None) -> Iterator[SpecResult]:
        """Run what is left; give each spec's result as it is finished.

        Parameters
        ----------
        workers : int
            Processes.
        waveforms : Path, optional
            Folder for waveforms of first differences.
        """
        left = [number for number in range(self.plan.specs) if number not in self.results]
        timesteps = self.plan.spec_timesteps()
        before, started = self._seconds, time.monotonic()
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            jobs = [
                pool.submit(soak_spec, self.plan, number, timesteps, waveforms) for number in left
            ]
            try:
                for job in as_completed(jobs):
                    result = job.result()
                    self.results[result.spec] = result
                    self._seconds = before + time.monotonic() - started
                    self._write()
                    yield result
            finally:
                pool.shutdown(cancel_futures=True)

    @property
    def total(self) -> dict[str, Any]:
        """The result in a few numbers; ``seconds`` is wall-clock time."""
        results = self.results.values()
        sums = {
            name: sum(getattr(result, name) for result in results)
            for name in ("networks", "timesteps", "neuron_steps", "spikes", "cycles")
        }
        return {
            "specs": len(results),
            **sums,
            "mismatches": sum(len(result.failures) for result in results),
            "seconds": round(self._seconds, 1),
            "complete": len(results) == self.plan.specs,
        }

    def _read(self) -> None:
        try:
            content = json.loads(self._state.read_text())
            plan = Plan(**content["plan"])
            found = [
                SpecResult(**{**result, "failures": tuple(result["failures"])})
                for result in content["results"]
            ]
            seconds = float(content["total"]["seconds"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SpikewrightError(
                f"Cannot go on from {str(self._state)!r}: {error!r}.", hint="Delete the file."
            ) from None
        if plan != self.plan:
            raise SpikewrightError(
                f"{str(self._state)!r} is of {plan}, not of {self.plan}.",
                hint="Delete the file, or name another one with --state.",
            )
        self.results = {result.spec: result for result in found}
        self._seconds = seconds

    def _write(self) -> None:
        content = {
            "plan": asdict(self.plan),
            "total": self.total,
            "results": [asdict(self.results[number]) for number in sorted(self.results)],
        }
        self._state.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._state, (json.dumps(content, indent=1) + "\n").encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m spikewright.sim.soak``; the exit code is 1 if anything differed."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--specs", type=int, default=Plan.specs, help="random specs")
    parser.add_argument(
        "--neuron-steps", type=float, default=float(Plan.neuron_steps), help="in all, at least"
    )
    parser.add_argument("--seed", type=int, default=Plan.seed, help="of everything")
    parser.add_argument("--state", type=Path, default=Path("build/soak.json"), help="results")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument(
        "--only", type=int, metavar="SPEC", help="run this spec alone, keep nothing"
    )
    options = parser.parse_args(arguments)
    plan = Plan(options.specs, int(options.neuron_steps), options.seed)
    waveforms = options.state.parent / "soak"
    try:
        if options.only is not None:
            result = soak_spec(plan, options.only, plan.spec_timesteps(), waveforms)
            _show(result, {})
            return int(bool(result.failures))
        soak = Soak(plan, options.state)
        for result in soak.run(workers=options.workers, waveforms=waveforms):
            _show(result, soak.total)
    except SpikewrightError as error:
        print(error, file=sys.stderr)
        return 1
    total = soak.total
    print(json.dumps(total))
    return int(total["mismatches"] > 0 or not total["complete"])


def _show(result: SpecResult, total: Mapping[str, Any]) -> None:
    """One line for each spec, and whatever failed."""
    progress = ""
    if total:
        progress = f"  total {total['specs']} specs, {total['neuron_steps']:,} neuron-steps"
    print(
        f"spec {result.spec}: {result.networks} networks, {result.neuron_steps:,} neuron-steps, "
        f"{result.seconds:.0f} s, {len(result.failures)} failures{progress}",
        flush=True,
    )
    for failure in result.failures:
        print(failure, flush=True)


if __name__ == "__main__":
    sys.exit(main())
