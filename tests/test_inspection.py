"""The commands diagnose and explain, on a network and spikes in files."""

import inspect
import json
import os
import subprocess
import sys
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from spikewright.cli import main
from spikewright.compiler import CompileOptions
from spikewright.image import CoreImage
from spikewright.inspection import diagnose

COMMAND = str(Path(sys.executable).with_name("spikewright"))
SEMANTICS = ("--dt", "1e-3", "--reset", "subtract", "--no-reset-delay")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``model.nir`` (30 inputs, 12 and 3 neurons), its image, and ``in.npz``."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(9)

    def neurons(count: int) -> nir.LIF:
        ones = np.ones(count)
        return nir.LIF(tau=ones * 0.01, r=ones * 10, v_leak=ones * 0, v_threshold=ones)

    nodes = {
        "input": nir.Input(input_type=np.array([30])),
        "fc1": nir.Affine(weight=rng.normal(0.1, 0.5, (12, 30)), bias=np.zeros(12)),
        "hidden": neurons(12),
        "fc2": nir.Linear(weight=rng.normal(size=(3, 12))),
        "a\nname": neurons(3),
        "output": nir.Output(output_type=np.array([3])),
    }
    nir.write(folder / "model.nir", nir.NIRGraph(nodes, list(pairwise(nodes))))
    np.savez(folder / "in.npz", spikes=rng.random((4, 20, 30)) < 0.3)
    model, image = str(folder / "model.nir"), str(folder / "model.core")
    assert main(["compile", model, "-o", image, *SEMANTICS, "-q"]) == 0
    return folder


def said(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    assert main(list(map(str, arguments))) == code
    out, err = capsys.readouterr()
    return err if code else out


def test_diagnose(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("diagnose", files / "model.nir", "--spikes", files / "in.npz", *SEMANTICS)
    command = (*given, "--weight-bits", "3", "--state-bits", "12")
    data = json.loads(said(capsys, *command, "--json"))
    assert data["layers"].keys() == {"hidden", "a\nname"}
    kinds = [finding["kind"] for finding in data["findings"]]
    assert {"differs", "saturated"} <= set(kinds)
    assert data["float"]["samples"] == 4
    assert len(data["trials"]) > 1
    text = said(capsys, *command)
    squeezed = " ".join(text.split())
    for number, finding in enumerate(data["findings"], 1):
        whole = f"{number}. {finding['what']} {finding['remedy']}"
        assert " ".join(whole.split()) in squeezed
    first = data["float"]["first"]
    place = f"hidden[{first['neuron']}] in timestep {first['timestep']} of sample {first['sample']}"
    assert f"First difference: {place}." in squeezed
    assert max(map(len, text.splitlines())) <= 100
    for title in ("Tried on the same spikes", "Equal spikes by timestep", "Weights", "a\\nname"):
        assert title in text


def test_diagnose_for_a_core(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "core.json"
    spec.write_text('{"axons": 64, "neurons": 64, "weight_bits": 6, "fraction_bits": 3}')
    command = ("diagnose", files / "model.nir", "--spikes", files / "in.npz", *SEMANTICS)
    data = json.loads(said(capsys, *command, "--spec", spec, "--json"))
    assert all(trial["refused"] == "" for trial in data["trials"])
    assert "must be the spec's 6, not 5" in said(
        capsys, *command, "--spec", spec, "--weight-bits", 5, code=1
    )


def test_diagnose_takes_what_compile_takes() -> None:
    options = {field.name for field in fields(CompileOptions)}
    own = {"console", "model", "spikes", "spec"}
    assert set(inspect.signature(diagnose).parameters) == own | options


def test_diagnose_errors(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "few.npz", spikes=np.zeros((1, 5, 7)))
    few = ("diagnose", files / "model.nir", "--spikes", tmp_path / "few.npz")
    assert "must have 30 axons for this image, not 7" in said(capsys, *few, *SEMANTICS, code=1)
    assert "needs dt, reset, reset_delay" in said(capsys, *few, code=1)


def test_explain(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("explain", files / "model.core", "hidden[3]", "--spikes", files / "in.npz")
    data = json.loads(said(capsys, *command, "--sample", 2, "--json"))
    assert data["image"] == CoreImage.load(files / "model.core").id
    assert (data["sample"], data["population"], data["index"]) == (2, "hidden", 3)
    assert len(data["moments"]) == 20
    assert len(data["incoming"]) == 30
    short, long = said(capsys, *command, "--sample", 2), said(capsys, *command, "--sample", 2, "-v")
    for sentence in data["story"]:
        assert " ".join(sentence.split()) in " ".join(short.split())
    assert "And 14 smaller ones; -v shows them." in short
    assert "-v shows them" not in long
    for synapse in data["incoming"]:
        assert f"\ninput[{synapse['index']}] " in long
    for moment in data["moments"]:
        start = f"{moment['timestep']:<8}  "
        (row,) = [line for line in short.splitlines() if line.startswith(start)]
        assert row.endswith("  spike") == moment["spike"]
    assert any(moment["spike"] for moment in data["moments"])
    assert "hidden[3], sample 0" in said(capsys, *command)


@pytest.mark.parametrize(
    ("neuron", "more", "message"),
    [
        ("hidden", (), "A neuron must be named NAME[INDEX], not 'hidden'."),
        ("hidden[12]", (), "must be at most [11], not [12]"),
        ("none[0]", (), "Image has no population 'none'"),
        ("hidden[0]", ("--sample", 4), "Sample must be in [0, 3], not 4."),
    ],
)
def test_explain_errors(
    files: Path,
    capsys: pytest.CaptureFixture[str],
    neuron: str,
    more: tuple[Any, ...],
    message: str,
) -> None:
    command = ("explain", files / "model.core", neuron, "--spikes", files / "in.npz", *more)
    assert message in said(capsys, *command, code=1)


@pytest.mark.parametrize("command", ["diagnose", "explain"])
def test_eighty_columns_are_enough(files: Path, command: str) -> None:
    """On a terminal no line is wider, and no number is cut off."""
    model = ("model.nir",) if command == "diagnose" else ("model.core", "hidden[0]")
    options = (*SEMANTICS, "--state-bits", "14") if command == "diagnose" else ()
    code = (
        "import fcntl, os, pty, struct, sys, termios\n"
        "pid, line = pty.fork()\n"
        "if pid == 0:\n"
        "    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 50, 80, 0, 0))\n"
        "    os.environ.pop('COLUMNS', None)\n"
        "    os.execvp(sys.argv[1], sys.argv[1:])\n"
        "while True:\n"
        "    try:\n"
        "        data = os.read(line, 65536)\n"
        "    except OSError:\n"
        "        break\n"
        "    if not data:\n"
        "        break\n"
        "    sys.stdout.buffer.write(data)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, COMMAND, command, *model, "--spikes", "in.npz", *options],
        cwd=files,
        env={**os.environ, "TERM": "dumb", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        check=True,
    )
    lines = done.stdout.decode().replace("\r\n", "\n").splitlines()
    assert any("\u2500" in line for line in lines)
    assert max(len(line) for line in lines if "\r" not in line) <= 80
    assert not any("\u2026" in line for line in lines)


def test_a_network_that_is_read_by_its_potentials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ones = np.ones(2)
    nodes = {
        "input": nir.Input(input_type=np.array([3])),
        "fc": nir.Linear(weight=np.array([[1.0, 0.3, -0.2], [0.4, 0.1, 0.9]])),
        "li": nir.LI(tau=ones * 0.01, r=ones * 10, v_leak=ones * 0),
        "output": nir.Output(output_type=np.array([2])),
    }
    model, spikes, image = (tmp_path / name for name in ("li.nir", "in.npz", "li.core"))
    nir.write(model, nir.NIRGraph(nodes, list(pairwise(nodes))))
    np.savez(spikes, spikes=np.ones((2, 9, 3)))
    options = ("--dt", "1e-3", "--weight-bits", "4")
    text = said(capsys, "diagnose", model, "--spikes", spikes, *options)
    assert text.startswith("No layer spikes; potentials are ")
    for absent in ("decisions", "Equal spikes by timestep", "First difference"):
        assert absent not in text
    trials = json.loads(said(capsys, "diagnose", model, "--spikes", spikes, *options, "--json"))
    errors = [trial["v_error"] for trial in trials["trials"]]
    assert errors[1] < errors[0]
    said(capsys, "compile", model, "-o", image, *options)
    text = said(capsys, "explain", image, "li[1]", "--spikes", spikes)
    assert "It cannot spike" in text
    assert "v_threshold" not in text
    assert text.rstrip().splitlines()[-1].endswith("  none")
