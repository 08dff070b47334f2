"""Who may import whom, and what no file may hold; see the rules in LAYERS and below."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("hdl", "compiler", "runtime", "sim", "boards")
MAY_IMPORT = {"hdl": (), "sim": (), "runtime": (), "compiler": ("sim",), "boards": ("hdl",)}
FRONT = (
    *("arguments", "board_checks", "building", "checks", "cli", "compilation", "console"),
    *("cost", "devices", "doctor", "fitting", "flashing", "inspection", "learnbench"),
    *("learned", "learned_figures", "learned_report", "linkbench", "monitor_page"),
    *("monitor_terminal", "monitored", "monitoring", "pacing", "running", "summary", "teaching"),
)
"""Modules of the command line: they may import anything, and nothing imports them."""
LIGHT = (
    *("arguments", "building", "compilation", "console", "devices", "doctor", "errors"),
    *("flashing", "inspection", "monitoring", "pacing", "running", "teaching"),
)
"""What the command line imports before it knows the subcommand."""
HDL_USERS = re.compile(r"sim/(model|verilator|virtual|cocotb_\w+)\.py")
"""Files of sim/ that build RTL."""
LIBRARIES = {
    "amaranth": re.compile(r"(hdl|boards)/|sim/(model|verilator|cocotb_\w+)\.py"),
    "nir": re.compile(r"compiler/(frontend|nir_reader|torch_\w+)\.py"),
    "h5py": re.compile(r"compiler/nir_reader\.py"),
    "serial": re.compile(r"runtime/(link|ports)\.py"),
    "cocotb": re.compile(r"sim/cocotb_\w+\.py"),
    "torch": re.compile(r"compiler/(qat|surrogate|torch_\w+)\.py"),
    "snntorch": re.compile(r"(?!)"),
    "pickle": re.compile(r"(?!)"),
    "marshal": re.compile(r"(?!)"),
    "shelve": re.compile(r"(?!)"),
}
"""Files that may import these; ``(?!)`` matches none."""
SUPPRESSED = re.compile(r"\bnoqa\b|type:\s*ignore|\bTODO\b(?!\([\w.-]+\))|\bFIXME\b|\bXXX\b")

SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("spikewright", *FOLDERS)
    for path in (ROOT / folder).glob("*.py")
)


def imports(
    node: ast.AST, when: str = "import"
) -> Iterator[tuple[ast.Import | ast.ImportFrom, str, str]]:
    """Import statements, the module each names, and when it is run: "import", "call" or "never"."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((child, alias.name, when) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield child, "." * child.level + (child.module or ""), when
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            yield from imports(child, "never")
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) and when == "import":
            yield from imports(child, "call")
        else:
            yield from imports(child, when)


def wrong_imports(path: str, source: str) -> list[str]:
    """Every import of a file that the layers forbid."""
    tree = ast.parse(source)
    folder, stem = path.split("/")[0], Path(path).stem
    front = folder == "spikewright" and stem in FRONT
    found = []
    for node, module, when in imports(tree):
        names = [alias.name for alias in node.names]
        parts = module.split(".")
        if "*" in names:
            found.append(f"{module}: wildcard")
        if module.startswith(".") and (folder == "spikewright" or module.startswith("..")):
            found.append(f"{module}: relative import that leaves its folder")
        if parts[0] in FOLDERS or (module == "spikewright" and {*names} & {*FOLDERS, *FRONT}):
            found.append(f"{module}: import spikewright.<folder>.<module>")
        users = LIBRARIES.get(parts[0])
        if users and when != "never" and not users.match(path):
            found.append(f"{module}: not in this file")
        if parts[0] != "spikewright" or len(parts) == 1:
            continue
        other = parts[1]
        if other in FRONT and not front:
            found.append(f"{module}: only the command line's own")
        if other == folder:
            found.append(f"{module}: relative inside a folder")
        elif other in FOLDERS and not front:
            allowed = (
                other in MAY_IMPORT.get(folder, ())
                or (other == "hdl" and HDL_USERS.fullmatch(path))
                or (path == "spikewright/target.py" and when == "call")
            )
            if not allowed:
                found.append(f"{module}: not from {folder}/")
        if path == "spikewright/cli.py" and when == "import" and other not in LIGHT:
            found.append(f"{module}: inside the subcommand")
    return found


def wrong_content(source: str) -> list[str]:
    """Calls and comments that no file may hold."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
                found.append(f"line {node.lineno}: {node.func.id}")
            if any(keyword.arg == "shell" for keyword in node.keywords):
                found.append(f"line {node.lineno}: shell")
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False":
                    found.append(f"line {node.lineno}: allow_pickle")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and SUPPRESSED.search(token.string):
            found.append(f"line {token.start[0]}: {token.string}")
    return found


@pytest.mark.parametrize("path", SOURCES)
def test_file_keeps_to_its_layer(path: str) -> None:
    source = (ROOT / path).read_text()
    assert wrong_imports(path, source) == []
    assert wrong_content(source) == []


@pytest.mark.parametrize("path", [path for path in SOURCES if "__init__" not in path])
def test_module_says_what_it_is_and_exports(path: str) -> None:
    tree = ast.parse((ROOT / path).read_text())
    assert ast.get_docstring(tree)
    assert any(
        isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for node in tree.body
    )


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("hdl/core.py", "from spikewright.sim.golden import x", "not from hdl/"),
        ("sim/golden.py", "from spikewright.hdl.core import x", "not from sim/"),
        ("sim/golden.py", "def f():\n    import spikewright.hdl.core", "not from sim/"),
        ("runtime/link.py", "from spikewright.sim.golden import x", "not from runtime/"),
        ("compiler/emit.py", "from spikewright.runtime.link import x", "not from compiler/"),
        ("boards/area.py", "from spikewright.compiler.emit import x", "not from boards/"),
        ("spikewright/spec.py", "def f():\n    import spikewright.sim.golden", "not from spik"),
        ("spikewright/target.py", "from spikewright.sim.golden import x", "not from spikewright/"),
        ("spikewright/cli.py", "from spikewright.image import x", "inside the subcommand"),
        ("sim/golden.py", "from spikewright.console import x", "only the command line's own"),
        ("sim/compare.py", "from spikewright.sim.golden import x", "relative inside a folder"),
        ("sim/compare.py", "from ..hdl.core import x", "leaves its folder"),
        ("sim/compare.py", "import hdl", "import spikewright.<folder>"),
        ("sim/compare.py", "from spikewright import hdl", "import spikewright.<folder>"),
        ("hdl/core.py", "from amaranth.hdl import *", "wildcard"),
        ("sim/golden.py", "import amaranth", "not in this file"),
        ("compiler/graph.py", "def f():\n    import nir", "not in this file"),
        ("runtime/device.py", "import serial", "not in this file"),
        ("compiler/graph.py", "import torch", "not in this file"),
        ("spikewright/image.py", "import pickle", "not in this file"),
    ],
)
def test_wrong_import_is_found(path: str, source: str, fault: str) -> None:
    assert [text for text in wrong_imports(path, source) if fault in text], source


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("sim/verilator.py", "from spikewright.hdl.core import x\nimport amaranth"),
        ("compiler/report.py", "from spikewright.sim.golden import x\nfrom .ir import y"),
        ("boards/area.py", "from spikewright.hdl.core import x\nimport amaranth"),
        ("spikewright/target.py", "def f():\n    import spikewright.sim.golden"),
        ("spikewright/cli.py", "def f():\n    import spikewright.sim.golden"),
        ("compiler/pipeline.py", "if TYPE_CHECKING:\n    import nir"),
    ],
)
def test_right_import_passes(path: str, source: str) -> None:
    assert wrong_imports(path, source) == []


@pytest.mark.parametrize(
    "source",
    [
        "eval('1')",
        "subprocess.run('ls', shell=True)",
        "numpy.load(f, allow_pickle=True)",
        "x = 1  # no" + "qa: E501",
        "x = 1  # type: " + "ignore",
        "x = 1  # TO" + "DO: more",
    ],
)
def test_wrong_content_is_found(source: str) -> None:
    assert wrong_content(source)


def test_golden_model_runs_without_hdl() -> None:
    """Not even by detours does the model load what it checks."""
    code = "import sys, spikewright.sim.golden as g; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "spikewright.sim.golden" in loaded
    assert [name for name in loaded if name.startswith(("spikewright.hdl", "amaranth"))] == []


def test_command_line_starts_light() -> None:
    """What takes long to import waits for the subcommand that needs it."""
    code = "import sys, spikewright.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "spikewright.cli" in loaded
    heavy = {"numpy", "rich", "pydantic", "safetensors", "nir", "amaranth", "serial"}
    assert loaded & heavy == set()
