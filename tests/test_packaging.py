"""What is installed: packages, data files, pinned versions, the wheel away from the checkout."""

import importlib.metadata
import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FOLDERS = ("hdl", "compiler", "runtime", "sim", "boards")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PIN = re.compile(r"([a-z0-9-]+)==([0-9][0-9a-z.]*)")


def package_files(root: Path) -> list[str]:
    """All files of the packages as they are in a wheel, byte code aside."""
    return sorted(
        f"spikewright/{path.relative_to(root / 'spikewright' if folder == 'spikewright' else root)}"
        for folder in ("spikewright", *FOLDERS)
        for path in (root / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".partial"
    )


def pins() -> dict[str, str]:
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    lines = text.splitlines()
    found = [PIN.fullmatch(line) for line in lines if line and not line.startswith("#")]
    assert all(found), "each line must be NAME==VERSION"
    return {match[1]: match[2] for match in found if match}


def requirements(lines: list[str], extras: set[str]) -> list[Requirement]:
    """Those that hold here for one of the extras, our own package aside."""
    parsed = [Requirement(line) for line in lines]
    return [
        requirement
        for requirement in parsed
        if requirement.name != "spikewright"
        and (
            requirement.marker is None
            or any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras))
        )
    ]


def test_every_package_folder_is_listed() -> None:
    folders = {
        f"spikewright.{path.parent.relative_to(ROOT).as_posix().replace('/', '.')}"
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("__init__.py")
    }
    setup = PROJECT["tool"]["setuptools"]
    assert set(setup["packages"]) == folders | {"spikewright"}
    assert setup["package-dir"] == {
        name: name.removeprefix("spikewright.").replace(".", "/") for name in setup["packages"]
    }


@pytest.mark.parametrize("folder", FOLDERS)
def test_links_are_relative_links(folder: str) -> None:
    link = ROOT / "spikewright" / folder
    assert link.is_symlink()
    assert os.readlink(link) == f"../{folder}"
    assert link.resolve() == (ROOT / folder).resolve()


def test_each_requirement_is_pinned_in_its_range() -> None:
    project = PROJECT["project"]
    extras = project["optional-dependencies"].values()
    lines = [*project["dependencies"], *itertools.chain(*extras)]
    lines += PROJECT["build-system"]["requires"]
    pinned = pins()
    assert len(lines) > 20
    for requirement in requirements(lines, set()):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} is not pinned"
        assert requirement.specifier.contains(version), f"{requirement} excludes {version}"
    assert pinned["torch"] == "2.13.0"


def test_what_requirements_require_is_pinned() -> None:
    pinned = pins()
    todo = [Requirement(line) for line in importlib.metadata.requires("spikewright") or ()]
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name == "spikewright" or (name, frozenset(requirement.extras)) in seen:
            continue
        seen.add((name, frozenset(requirement.extras)))
        assert name in pinned, f"{requirement} is not pinned"
        try:
            lines = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # of an extra that is not installed here
        todo += requirements(lines, requirement.extras)
    assert len(seen) > 40


def test_make_says_which_python_it_needs(tmp_path: Path) -> None:
    done = subprocess.run(
        [shutil.which("make") or "make", f"VENV={tmp_path}/venv", "PYTHON=no-python", "demo"],
        cwd=ROOT,
        env={"PATH": str(_tools(tmp_path / "bin"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Spikewright needs Python 3.11 to 3.13; no-python is not one of them." in done.stderr
    assert "make PYTHON=/path/to/python3.12 demo" in done.stderr
    assert not (tmp_path / "venv" / "made").exists()


def test_make_says_which_tool_it_needs(tmp_path: Path) -> None:
    bin_folder = _tools(tmp_path / "bin")
    (bin_folder / "g++").unlink()
    done = subprocess.run(
        [shutil.which("make") or "make", f"VENV={tmp_path}/venv", "demo"],
        cwd=ROOT,
        env={"PATH": str(bin_folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "g++ is not installed" in done.stderr


def _tools(folder: Path) -> Path:
    """A folder for PATH that has what the Makefile asks for, but no Python."""
    folder.mkdir()
    for name in ("g++", "perl"):
        (folder / name).symlink_to("/bin/true")
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources without network."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("spikewright", *FOLDERS):
        shutil.copytree(
            ROOT / name,
            source / name,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__", "*.partial"),
        )
    target = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(target), str(source))
    (path,) = target.glob("*.whl")
    return path


def _pip(command: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", command, "--no-index", "--quiet", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_wheel_has_every_file_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.startswith("spikewright/")}
        licenses = [name for name in archive.namelist() if name.endswith("LICENSE")]
    wanted = set(package_files(ROOT))
    assert {"spikewright/py.typed", "spikewright/sim/core.cpp"} <= wanted
    assert names == wanted
    assert len(licenses) == 1


def test_wheel_runs_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    _pip("install", "--no-deps", "--target", str(site), str(wheel))
    environment = {**os.environ, "PYTHONPATH": str(site)}
    modules = ["cli", "compiler", "sim.golden", "hdl.core", "runtime.device", "boards"]
    code = (
        "import sys, importlib\n"
        f"for name in {modules}: importlib.import_module('spikewright.' + name)\n"
        "print(*{m.__file__ for n, m in sys.modules.items() if n.startswith('spikewright')})"
    )

    def output(*command: str) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    files = output(sys.executable, "-c", code).split()
    assert len(files) > 20
    assert [name for name in files if not name.startswith(str(site))] == []
    version = importlib.metadata.version("spikewright")
    assert output(str(site / "bin" / "spikewright"), "--version") == f"spikewright {version}\n"
