"""Files damaged on purpose: `make hostile`. Each mutant is refused by a typed error or is sound.

Formats: NIR, torch state dicts, spikes, SuperNeuroMAT's JSON, core images. Each mutant is read in a
process of its own that may write nothing but its output, start nothing, and take 10 s. The readers
of NIR and torch files, programs of their own in earnest, run as forks with their own limits; every
hundredth mutant goes through the real ones, in the same 10 s.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
from hostile_mutants import FORMATS, Mutant, image, mutant

from spikewright.compiler import CompileOptions, compile_network, nir_reader
from spikewright.compiler.frontend import time_limit_s
from spikewright.compiler.superneuromat import compile_superneuromat
from spikewright.errors import ModelError, SpikewrightError
from spikewright.files import fit_spikes, read_spikes
from spikewright.image import CoreImage
from spikewright.sim.golden import GoldenTarget

LIMIT_S = 10
REAL_EVERY = 100
"""Of mutants that a child process reads, those that the real one does."""
_TRESPASS = 99
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_ACTS = {
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate",
    "os.chmod", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect",
}  # fmt: skip


def in_a_fork(work: Callable[[], bytes], limit_s: int) -> tuple[int, bytes]:
    """Exit code, negative for a signal, and what the work gave."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        signal.alarm(limit_s)
        os.close(read)
        code = 1
        try:
            with os.fdopen(write, "wb") as out:
                out.write(work())
            code = 0
        finally:
            os._exit(code)  # whatever happened, it must not go on as its parent would
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        result = answer.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), result


def forbid(folder: Path) -> None:
    """End this process if it writes outside the folder, or starts or reaches anything."""

    def watch(event: str, given: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = given
            outside = isinstance(path, (str, bytes)) and bool(flags & _WRITES)
        else:
            outside = event in _ACTS
            path = given[0] if given else ""
        if not outside:
            return
        if isinstance(path, (str, bytes)):
            place = Path(os.path.abspath(os.fsdecode(path)))
            if event != "os.system" and folder in place.parents:
                return
        sys.stderr.write(f"trespass: {event} {given}\n")
        sys.stderr.flush()
        os._exit(_TRESPASS)

    sys.addaudithook(watch)


def forked_reader(reader: ModuleType) -> Callable[[Path, bytes], bytes]:
    """In the place of ``run_reader``: the same program and limits without a new interpreter."""

    def run(path: Path, data: bytes) -> bytes:
        limit_s = time_limit_s(len(data))

        def work() -> bytes:
            reader._limit(limit_s)
            result = reader._read(data)
            assert isinstance(result, bytes)
            return result

        code, result = in_a_fork(work, limit_s)
        if code == _TRESPASS:
            os._exit(_TRESPASS)
        if code:
            raise ModelError(f"reading it ended with {code}.", hint="Export it again.")
        return result

    return run


def run_some(core: CoreImage, output: Path) -> None:
    """Write the image, read it back, and run it."""
    core.save(output)
    again = CoreImage.load(output)
    assert again.id == core.id
    target = GoldenTarget()
    target.load(again)
    spikes = np.random.default_rng(0).random((1, 4, core.spec.axons)) < 0.5
    assert target.run(spikes).spikes.shape == (1, 4, core.spec.neurons)


def read_nir(path: Path, output: Path) -> None:
    options = CompileOptions(dt=1.0, reset="zero", reset_delay=False)
    run_some(compile_network(path, options), output)


def read_json(path: Path, output: Path) -> None:
    run_some(compile_superneuromat(path), output)


def read_npz(path: Path, output: Path) -> None:
    spikes = read_spikes(path)
    assert spikes.dtype == np.bool_
    assert spikes.ndim == 3
    assert spikes.size
    target = GoldenTarget()
    target.load(image())
    few = fit_spikes(spikes, image())[:2, :20]
    assert target.run(few).spikes.shape[:2] == few.shape[:2]


def read_core(path: Path, output: Path) -> None:
    run_some(CoreImage.load(path), output)


def read_pt(path: Path, output: Path) -> None:
    import torch

    from spikewright.compiler.torch_weights import load_weights

    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    before = {name: (v.shape, v.dtype) for name, v in module.state_dict().items()}
    load_weights(module, path)
    assert {name: (v.shape, v.dtype) for name, v in module.state_dict().items()} == before


READ = {"nir": read_nir, "json": read_json, "npz": read_npz, "core": read_core, "pt": read_pt}


@cache
def readers(kind: str) -> tuple[tuple[str, Any], ...]:
    """What to put in the place of the program that reads this format."""
    if kind == "nir":
        return (("spikewright.compiler.frontend.run_reader", forked_reader(nir_reader)),)
    if kind == "pt":
        from spikewright.compiler import torch_reader

        return (("spikewright.compiler.torch_weights.run_reader", forked_reader(torch_reader)),)
    return ()


def judge(kind: str, case: Mutant, folder: Path, *, real: bool = False) -> str:
    """``refused``, ``sound``, or else what went wrong."""
    path, output = folder / f"in.{kind}", folder / "out"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    path.write_bytes(case.data)

    def work() -> bytes:
        with ExitStack() as stack:
            if not real:
                for name, run in readers(kind):
                    stack.enter_context(patch(name, run))
                forbid(output)
            try:
                READ[kind](path, output / "x.core")
            except SpikewrightError as error:
                return b"refused" if error.what and error.hint else f"no hint: {error}".encode()
            except BaseException:
                return traceback.format_exc().encode()
        return b"sound" if case.may_be_sound(path) else b"damage was not noticed"

    code, result = in_a_fork(work, LIMIT_S)
    found = {"x.core"} if result == b"sound" and kind in ("nir", "json", "core") else set()
    if code:
        names = {_TRESPASS: "trespass", -signal.SIGALRM: f"over {LIMIT_S} s"}
        return names.get(code, f"crash ({code})")
    if {p.name for p in output.iterdir()} != found:
        return f"files left: {list(output.iterdir())}, after {result.decode()}"
    return result.decode()


def soak(kind: str, count: int, seed: int, saved: Path, first: int = 0) -> Counter[str]:
    """Judge so many mutants; those that fail are saved, and named on stdout."""
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        for number in range(first, first + count):
            case = mutant(kind, seed, number)
            real = number % REAL_EVERY == 0 and kind in ("nir", "pt")
            outcome = judge(kind, case, Path(place), real=real)
            ok = outcome in ("refused", "sound")
            total[outcome if ok else "failed"] += 1
            if not ok:
                saved.mkdir(parents=True, exist_ok=True)
                name = saved / f"{seed}-{number}.{kind}"
                name.write_bytes(case.data)
                print(f"{kind}, seed {seed}, number {number} ({case.how}): {outcome}\n  {name}")
    return total


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the outcomes of each format; the exit code is 1 if any mutant failed."""
    parser = argparse.ArgumentParser(prog="hostile", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="mutants of each format")
    parser.add_argument("--seed", type=int, default=0, help="of all mutants")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--format", choices=FORMATS, action="append", help="may be repeated")
    parser.add_argument("--saved", type=Path, default=Path("build/hostile"), help="for failures")
    options = parser.parse_args(arguments)
    failed = 0
    for kind in options.format or FORMATS:
        total = soak(kind, options.count, options.seed, options.saved, options.first)
        print(f"{kind}, seed {options.seed}: {json.dumps(total)}", flush=True)
        failed += total["failed"]
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
