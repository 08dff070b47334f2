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
from spikewright.spec import CoreSpec
from spikewright.storage import replace_file

from .cases import draw_case, draw_spec
from .compare import lockstep
from .verilator import CoreSimulator

__all__ = ["Plan", "Soak", "SpecResult", "main", "soak_spec"]

NETWORKS = 12
"""Networks a spec, each with a stimulus of its own."""
_LEARNS = 3
"""Every so many specs one learns. It is smaller: all its weights are compared every timestep."""
_MOST_LEARNING = 64
_COMPARED = ("timesteps", "neuron_steps", "spikes", "cycles", "updates")
"""Of a lockstep's report."""


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

    def spec(self, number: int) -> CoreSpec:
        """One of the specs."""
        rng = np.random.default_rng((self.seed, number))
        if number % _LEARNS == _LEARNS - 1:
            return draw_spec(rng, most=_MOST_LEARNING, plastic=True)
        return draw_spec(rng)

    def spec_timesteps(self) -> int:
        """Timesteps a spec; the same for all, so that large ones get more neuron-steps."""
        neurons = sum(self.spec(number).neurons for number in range(self.specs))
        return -(-self.neuron_steps // neurons)


@dataclass(frozen=True)
class SpecResult:
    """What lockstep found on one spec.

    Attributes
    ----------
    spec : int
        Its number in the plan.
    networks, timesteps, neuron_steps, spikes, cycles, updates : int
        Compared; ``updates`` are changed synapses.
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
    updates: int
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
    spec = plan.spec(number)
    wanted = timesteps * spec.neurons
    failures = []
    done = np.zeros(len(_COMPARED), np.int64)
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
                    learn=case.learn,
                    rewards=case.rewards,
                    stall_seed=networks if networks % 2 else None,
                    waveforms=waveforms and waveforms / "-".join(map(str, seed)),
                )
                done += [getattr(report, name) for name in _COMPARED]
                report.check()
            except MismatchError as error:
                failures.append(f"seed {seed}\n{case}\n{error}")
                break
    seconds = time.monotonic() - started
    return SpecResult(
        spec=number,
        networks=networks,
        **dict(zip(_COMPARED, done.tolist(), strict=True)),
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
            for name in ("networks", *_COMPARED)
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
        f"{result.updates:,} changed synapses, {result.seconds:.0f} s, "
        f"{len(result.failures)} failures{progress}",
        flush=True,
    )
    for failure in result.failures:
        print(failure, flush=True)


if __name__ == "__main__":
    sys.exit(main())
