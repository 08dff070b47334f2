"""The command line from end to end, on real files, models and processes."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nir
import numpy as np
import pytest
from commands import COMMAND, Cli, process

from spikewright import __version__
from spikewright.cli import main
from spikewright.image import CoreImage
from spikewright.spec import CoreSpec

SEMANTICS = ("--dt", "1e-3", "--reset", "subtract", "--no-reset-delay")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``model.nir`` (4 inputs, 6 and 2 neurons) and ``in.npz`` (5 samples)."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(5)

    def neurons(count: int) -> nir.LIF:
        ones = np.ones(count)
        return nir.LIF(tau=ones * 0.01, r=ones * 10, v_leak=ones * 0, v_threshold=ones)

    nodes = {
        "input": nir.Input(input_type=np.array([4])),
        "fc1": nir.Affine(weight=rng.normal(size=(6, 4)), bias=rng.normal(size=6) / 4),
        "hidden": neurons(6),
        "fc2": nir.Linear(weight=rng.normal(size=(2, 6))),
        "out": neurons(2),
        "output": nir.Output(output_type=np.array([2])),
    }
    names = list(nodes)
    nir.write(folder / "model.nir", nir.NIRGraph(nodes, list(itertools.pairwise(names))))
    np.savez(folder / "in.npz", spikes=rng.random((5, 20, 4)) < 0.6)
    return folder


@pytest.fixture(scope="module")
def image(files: Path) -> Path:
    """The compiled model."""
    path = files / "model.core"
    assert main(["compile", str(files / "model.nir"), "-o", str(path), *SEMANTICS, "-q"]) == 0
    return path


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def test_version(cli: Cli) -> None:
    assert cli("--version") == f"spikewright {__version__}\n"


def test_help_lists_the_commands(cli: Cli) -> None:
    for arguments in ((), ("--help",)):
        text = cli(*arguments)
        for command in (
            "compile", "diagnose", "explain", "learn", "recover", "run", "verify", "board", "info",
            "record", "regress", "doctor", "devices", "flash", "monitor",
        ):  # fmt: skip
            assert f"\n  {command} " in text
    text = cli("run", "--help")
    for option in ("--spikes", "--target", "--json", "--quiet", "--verbose", "IMAGE"):
        assert option in text


def test_compile_and_info(cli: Cli, files: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.core"
    said = cli.json("compile", files / "model.nir", "-o", path, *SEMANTICS)
    image = CoreImage.load(path)
    assert said.pop("output") == str(path)
    assert said["id"] == image.id
    assert said["used"] | {"axons": 4, "neurons": 8, "levels": 2} == said["used"]
    assert said["semantics"]["dt"] == 1e-3
    assert said["semantics"]["reset_delay"] is False
    assert said["report"]["layers"].keys() == {"hidden", "out"}
    assert CoreSpec.from_dict(said["spec"]) == image.spec
    assert cli.json("info", path) == said
    text = cli("info", path)
    for part in (image.id, image.spec.hash, "hidden", "reset=subtract", "4 of 4", "8 of 16"):
        assert part in text
    for part in ("threshold=strict", "Spike order", "in the same timestep"):
        assert part in text


@pytest.mark.parametrize(
    "report", [{"by": "hand"}, {"layers": {"out": {"scale_min": "x"}}, "notes": []}, {"layers": 3}]
)
def test_info_of_a_report_that_is_not_the_compilers(
    cli: Cli, image: Path, tmp_path: Path, report: dict[str, Any]
) -> None:
    core = CoreImage.load(image)
    manifest = core.manifest.model_copy(update={"report": report})
    path = tmp_path / "other.core"
    replace(core, manifest=manifest).save(path)
    assert cli.json("info", path)["report"] == report
    text = cli("info", path)
    assert "hidden" in text
    assert "Quantization" not in text


def test_compile_with_options_spec_and_calibration(cli: Cli, files: Path, tmp_path: Path) -> None:
    spec = CoreSpec(axons=10, neurons=32, lanes=4, weight_bits=5, state_bits=18)
    (tmp_path / "spec.json").write_text(spec.to_json())
    path = tmp_path / "model.core"
    said = cli.json(
        *("compile", files / "model.nir", "-o", path, "--dt", "1e-3", "--reset", "zero"),
        *("--reset-delay", "--discretization", "exact", "--percentile", 90),
        *("--spec", tmp_path / "spec.json", "--calibrate", files / "in.npz"),
    )
    assert said["spec"] == asdict(spec)
    assert said["semantics"]["reset"] == "zero"
    assert said["semantics"]["reset_delay"] is True
    assert said["semantics"]["discretization"] == "exact"
    assert said["report"]["layers"]["hidden"]["measured"]["acc_peak"] > 0
    text = cli("info", path)
    assert "peak sum" in text


def test_compile_to_learn(cli: Cli, files: Path, tmp_path: Path) -> None:
    lesson, path = tmp_path / "lesson.json", tmp_path / "plastic.core"
    rule = {"pre_step": 3, "post_step": 3, "pre_change": 64, "w_min": -128, "w_max": 127}
    core = {"plasticity": "window"}
    lesson.write_text(json.dumps({"synapses": ["input:hidden"], "core": core, "rule": rule}))
    cli("compile", files / "model.nir", "-o", path, *SEMANTICS, "--learn", lesson)
    assert "plastic synapses" in cli("info", path)
    learned = tmp_path / "learned.core"
    cli("learn", path, "--spikes", files / "in.npz", "-o", learned)
    before, after = CoreImage.load(path), CoreImage.load(learned)
    assert (before.weights != after.weights).any()


def test_compile_to_learn_what_cannot_be(cli: Cli, files: Path, tmp_path: Path) -> None:
    lesson, spec, path = tmp_path / "lesson.json", tmp_path / "spec.json", tmp_path / "no.core"
    arguments = ("compile", files / "model.nir", "-o", path, *SEMANTICS, "--learn", lesson)
    passes = tmp_path / "passes"
    assert "Cannot read lesson" in cli.error(*arguments, "--dump-passes", passes)
    assert not passes.exists()
    core = {"plasticity": "window"}
    lesson.write_text(json.dumps({"synapses": ["input:hidden"], "core": core, "rule": {}}))
    spec.write_text(CoreSpec(axons=10, neurons=32, sparse=True).to_json())
    assert "or for a spec without" in cli.error(*arguments, "--spec", spec)
    assert not path.exists()


def test_compile_tuned_and_with_bits_of_each_layer(cli: Cli, files: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.core"
    arguments = ("compile", files / "model.nir", "-o", path, *SEMANTICS)
    tuned = ("--tune", "--scaling", "mse", "--calibrate", files / "in.npz")
    said = cli.json(*arguments, *tuned, "--bits", "4,3")
    assert said["spec"]["weight_bits"] == 4
    tuning = said["report"]["tuning"]
    assert tuning.keys() == {"hidden", "out"}
    for layer in tuning.values():
        assert layer["error_after"] <= layer["error_before"]
    assert cli.json("info", path)["report"]["tuning"] == tuning
    assert "Tuned on the samples" in cli("info", path)
    said = cli.json(*arguments, "--bits", "input:hidden=4,out=6")
    assert said["spec"]["weight_bits"] == CoreSpec().weight_bits
    image = CoreImage.load(path)
    assert np.abs(image.weights).max() < 2**5
    diagnose = ("diagnose", files / "model.nir", "--spikes", files / "in.npz", *SEMANTICS)
    assert cli.json(*diagnose, *tuned[:3], "--bits", "4,3")["tuning"].keys() == {"hidden", "out"}


def test_compile_with_the_least_bits(cli: Cli, files: Path, tmp_path: Path) -> None:
    spikes = np.load(files / "in.npz")["spikes"]
    labels = np.zeros(len(spikes), np.int64)
    np.savez(tmp_path / "labels.npz", spikes=spikes, labels=labels)
    arguments = ("compile", files / "model.nir", "-o", tmp_path / "least.core", *SEMANTICS)
    auto = ("--bits", "auto", "--keep", "20", "--calibrate")
    text = cli(*arguments, *auto, files / "in.npz")
    assert "Least weight bits, by 5 samples: 80.00% is enough\n" in text
    assert "decisions that are float's\n" in text
    said = cli.json(*arguments, *auto, tmp_path / "labels.npz")
    search = said["report"]["search"]
    assert (search["measure"], search["keep"]) == ("accuracy", 20.0)
    assert search["tried"][-1]["share"] >= search["reference"] - 0.2
    assert said["spec"]["weight_bits"] == search["tried"][-1]["weight_bits"]
    assert cli.json("info", tmp_path / "least.core")["report"]["search"] == search
    assert "decisions that are right\n" in cli("info", tmp_path / "least.core")
    assert "--keep" not in cli("diagnose", "--help")


def test_compile_says_what_is_missing_and_writes_nothing(
    cli: Cli, files: Path, tmp_path: Path
) -> None:
    text = cli.error("compile", files / "model.nir", "-o", tmp_path / "model.core")
    assert "node 'hidden' (LIF)" in text
    assert list(tmp_path.iterdir()) == []


def test_damaged_network(cli: Cli, files: Path, tmp_path: Path) -> None:
    data = (files / "model.nir").read_bytes()
    (tmp_path / "half.nir").write_bytes(data[: len(data) // 2])
    text = cli.error("compile", tmp_path / "half.nir", "-o", tmp_path / "x.core", *SEMANTICS)
    assert "half.nir" in text
    assert [path.name for path in tmp_path.iterdir()] == ["half.nir"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Cannot read core specification"),
        ("{", "Core specification is not JSON"),
        ('{"lanes": 3}', "lanes must be a power of two, not 3"),
        ('{"axons": 2}', "2"),
        ("\udcff", "it is not text"),
    ],
)
def test_wrong_spec(
    content: str | None, message: str, cli: Cli, files: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.json"
    if content is not None:
        spec.write_bytes(content.encode(errors="surrogateescape"))
    output = tmp_path / "x.core"
    text = cli.error("compile", files / "model.nir", "-o", output, *SEMANTICS, "--spec", spec)
    assert message in text
    assert not output.exists()


def test_damaged_image(cli: Cli, files: Path, image: Path, tmp_path: Path) -> None:
    data = bytearray(image.read_bytes())
    data[-1] ^= 1
    damaged = tmp_path / "damaged.core"
    damaged.write_bytes(data)
    spikes = ("--spikes", files / "in.npz")
    for arguments in (
        ("info", damaged),
        ("run", damaged, *spikes),
        ("verify", damaged),
        ("record", damaged, *spikes, "-o", tmp_path / "case"),
        ("board", "--virtual", "--image", damaged),
    ):
        assert "damaged.core" in cli.error(*arguments)
    assert "No such file" in cli.error("info", tmp_path / "absent.core")
    assert [path.name for path in tmp_path.iterdir()] == ["damaged.core"]


def test_run_is_equal_on_golden_and_rtl(cli: Cli, files: Path, image: Path, tmp_path: Path) -> None:
    results = {}
    for target in ("golden", "verilator"):
        path = tmp_path / f"{target}.npz"
        arguments = ("run", image, "--spikes", files / "in.npz", "-o", path, "--record-v")
        said = cli.json(*arguments, "--target", target, "-q")
        assert (said["target"], said["samples"], said["timesteps"]) == (target, 5, 20)
        with np.load(path) as arrays:
            results[target] = dict(arrays)
            assert said["spikes"]["out"] == arrays["spikes"][..., 8:10].sum()
            assert said["counts"]["out"] == arrays["spikes"][..., 8:10].sum(axis=1).tolist()
    golden, rtl = results.values()
    assert golden.keys() == rtl.keys() == {"spikes", "v", "cycles", "total_cycles"}
    assert golden["spikes"].any()
    for name, array in golden.items():
        assert np.array_equal(array, rtl[name]), name


def test_run_for_people(cli: Cli, files: Path, image: Path) -> None:
    text = cli("run", image, "--spikes", files / "in.npz")
    assert text.startswith("5 samples of 20 timesteps on golden: ")
    assert "\npopulation  neurons  spikes  spikes/neuron/timestep\n" in text
    assert "\nMost active neuron of 'out', sample by sample: " in text
    assert cli("run", image, "--spikes", files / "in.npz", "-q") == ""


def test_run_with_wrong_spikes(cli: Cli, files: Path, image: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", spikes=np.ones((2, 3, 5)))
    text = cli.error("run", image, "--spikes", tmp_path / "in.npz")
    assert "Spikes must have 4 axons for this image, not 5." in text
    np.savez(tmp_path / "in.npz", spikes=np.array([{}]))
    text = cli.error("run", image, "--spikes", tmp_path / "in.npz")
    assert "is not a whole .npz file of plain arrays" in text
    text = cli.error("run", image, "--spikes", files / "in.npz", "-o", tmp_path / "no" / "out.npz")
    assert "Cannot write" in text


def test_run_on_a_port_that_is_not_there(cli: Cli, files: Path, image: Path) -> None:
    text = cli.error("run", image, "--spikes", files / "in.npz", "--target", "/dev/no-such-port")
    assert "/dev/no-such-port" in text


def test_verify(cli: Cli, files: Path, image: Path) -> None:
    said = cli.json("verify", image, "--samples", 2, "--timesteps", 30, "--seed", 4, "-q")
    assert said["equal"] is True
    assert (said["samples"], said["timesteps"], said["seed"]) == (2, 60, 4)
    assert said["neuron_steps"] > 0
    text = cli("verify", image, "--spikes", files / "in.npz")
    assert text.startswith("Equal in every register: 5 samples, 100 timesteps, ")


def test_record_and_regress(cli: Cli, files: Path, image: Path, tmp_path: Path) -> None:
    cases, report = tmp_path / "cases", tmp_path / "report.xml"
    cases.mkdir()
    for name in ("one", "two"):
        said = cli.json("record", image, "--spikes", files / "in.npz", "-o", cases / name)
    assert (said["samples"], said["timesteps"]) == (5, 20)
    assert said["spikes"] > 0
    said = cli.json("regress", cases, "--junit", report, "-q")
    assert (said["passed"], said["failed"], said["errors"]) == (4, 0, 0)
    assert ElementTree.parse(report).getroot().get("tests") == "4"

    with (cases / "two" / "golden.npz").open("ab") as file:
        file.write(b"x")
    text = cli("regress", cases, "--target", "golden", "--junit", report, code=1)
    root = ElementTree.parse(report).getroot()
    assert (root.get("tests"), root.get("errors"), root.get("failures")) == ("2", "1", "0")
    assert "\ntwo on golden, error: Case " in text
    assert "\n  - golden.npz does not match its hash\n" in text
    assert text.endswith("1 of 2 passed.\n")
    again = cli.error("record", image, "--spikes", files / "in.npz", "-o", cases / "one")
    assert "already there" in again
    assert "No case in" in cli.error("regress", tmp_path / "absent")


def test_doctor(cli: Cli) -> None:
    assert cli.json("doctor")["missing"] == 0
    assert "python" in cli("doctor")


def test_missing_package_is_named_and_the_doctor_still_works() -> None:
    code = "import sys; sys.modules['numpy'] = None; from spikewright.cli import main; "
    command = [sys.executable, "-c", code + "sys.exit(main(sys.argv[1:]))"]
    done = subprocess.run([*command, "info", "x"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "Error: Package 'numpy' is not installed.\nHow to get it: spikewright doctor\n"
    )
    done = subprocess.run([*command, "doctor"], capture_output=True, text=True, check=False)
    assert "not looked at without numpy" in done.stdout


def test_own_mistake_is_reported_as_one(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> CoreImage:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(CoreImage, "load", broken)
    text = cli.error("info", "x")
    assert text.startswith("Error: Internal error: ZeroDivisionError: by zero\n")
    assert "-vv" in text


def subprocess_output(code: int, *arguments: str) -> str:
    done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command 'nonsense'."),
        (["run"], "Missing argument 'IMAGE'."),
        (["info", "x", "--nonsense"], "No such option: --nonsense"),
        (["verify", "x", "--samples", "0"], "greater than or equal to 1"),
        (["compile", "x", "-o", "y", "--reset", "maybe"], "maybe"),
        (["compile", "x", "-o", "y", "--bits", "auto"], "--calibrate in.npz"),
        (["compile", "x", "-o", "y", "--bits", "few"], "in order such as 4,8"),
        (["compile", "x", "-o", "y", "--bits", "a=4,8"], "not 'a=4,8'"),
        (["compile", "x", "-o", "y", "--bits", "a=4,a=8"], "each layer once"),
        (["compile", "x", "-o", "y", "--keep", "0.5"], "--keep is for --bits auto"),
        (["compile", "x", "-o", "y", "--bits", "4", "--keep", "1"], "--keep is for --bits auto"),
        (["diagnose", "x", "--spikes", "y", "--bits", "auto"], "not 'auto'"),
        (["compile", "x", "-o", "y", "--tune"], "--calibrate in.npz"),
        (
            ["compile", "x", "-o", "y", "--bits", "auto", "--calibrate", "z", "--weight-bits", "4"],
            "excludes --weight-bits",
        ),
        (["compile", "x.json", "-o", "y", "--bits", "auto"], "not rounded"),
        (["board"], "run --target takes its port"),
        (["board", "--virtual", "--spec", "a", "--image", "b"], "exclude each other"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, cli: Cli) -> None:
    text = cli.error(*arguments, code=2)
    assert message in text
    assert "See: spikewright COMMAND --help" in text


def test_traceback_only_if_asked_for(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    for flags, wanted in (([], False), (["-v"], False), (["-vv"], True), (["-v", "-v"], True)):
        assert main(["info", "absent.core", *flags]) == 1
        err = capsys.readouterr().err
        assert ("Traceback" in err) == wanted
        assert "Error: Cannot read image 'absent.core': No such file or directory.\n" in err


@pytest.mark.parametrize(
    ("encoding", "name"), [("ascii", r"mod\xe8le\u2192"), ("latin-1", r"modèle\u2192")]
)
def test_output_that_is_not_utf8(
    encoding: str, name: str, files: Path, image: Path, tmp_path: Path
) -> None:
    """As with an old locale; names that it cannot show are escaped."""
    model, output = tmp_path / "modèle→.nir", tmp_path / "modèle→.core"
    model.write_bytes((files / "model.nir").read_bytes())

    def said(*arguments: object, **environment: str) -> str:
        done = subprocess.run(
            [COMMAND, *map(str, arguments)],
            env=os.environ | {"PYTHONIOENCODING": encoding} | environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
        return done.stdout.decode(encoding)

    assert f"{name}.core: 8 neurons" in said("compile", model, "-o", output, *SEMANTICS)
    assert f" {name}\n" in said("info", output)
    assert name in said("doctor", SPIKEWRIGHT_CACHE=str(tmp_path / "modèle→"))
    assert said("verify", image, "--samples", 1).startswith("Equal")


def test_build_in_a_locale_that_has_not_the_folders_name(image: Path, tmp_path: Path) -> None:
    names = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [COMMAND, "verify", str(image), "--samples", "1"],
        env=os.environ | names | {"SPIKEWRIGHT_CACHE": str(tmp_path / "è→")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("Equal"), done.stderr


def test_plain_output_in_a_pipe_and_a_full_disk(image: Path) -> None:
    text = subprocess_output(0, "info", str(image))
    assert "\x1b" not in text
    assert text.isascii()
    for options in ((), ("--json",)):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [COMMAND, "info", str(image), *options],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.returncode == 1
        assert done.stderr.startswith("Error: No space left on device: writing output.\n")
        assert done.stderr.count("No space left") == 1  # none from Python as it ends


def test_table_and_progress_on_a_terminal(files: Path, image: Path) -> None:
    """The same command on a pseudo-terminal draws lines and a bar."""
    arguments = ("run", str(image), "--spikes", str(files / "in.npz"))
    text = terminal_output(COMMAND, *arguments)
    assert "\u2500" in text
    assert "Running on golden" in text
    assert "Running" not in terminal_output(COMMAND, *arguments, "-q")


def terminal_output(*command: str) -> str:
    code = (
        "import os, pty, sys\n"
        "os.environ['TERM'] = 'xterm'\n"
        "sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_board_runs_an_image_and_ends_with_ctrl_c(
    cli: Cli, files: Path, image: Path, tmp_path: Path
) -> None:
    spikes = ("--spikes", files / "in.npz")
    with process("board", "--virtual", "--image", image, "--json", "-q") as board:
        assert board.stdout is not None
        port = json.loads("".join(iter(board.stdout.readline, "}\n")) + "}")["port"]
        there = cli.json("run", image, *spikes, "--target", port, "-o", tmp_path / "board.npz")
        board.send_signal(signal.SIGINT)
        code = board.wait(timeout=120)
        assert board.stderr is not None
        assert code == 0, board.stderr.read()
        assert not os.path.exists(port)
    here = cli.json("run", image, *spikes, "-o", tmp_path / "golden.npz")
    assert there["counts"] == here["counts"]
    assert there["cycles_per_sample"] == here["cycles_per_sample"]
    with np.load(tmp_path / "board.npz") as a, np.load(tmp_path / "golden.npz") as b:
        assert np.array_equal(a["spikes"], b["spikes"])


def test_session_is_recorded_and_replayed(
    cli: Cli, files: Path, image: Path, tmp_path: Path
) -> None:
    run = ("run", image, "--spikes", files / "in.npz", "-q", "--target")
    session = tmp_path / "session.txt"
    wanted = cli.json(*run, "virtual", "--record", session)
    replayed = cli.json(*run, f"replay:{session}")
    assert replayed["spikes"] == wanted["spikes"]
    assert session.read_text().startswith("spikewright session 1\nbaud_hz 1000000\n0.0")
    text = cli.error(
        "run", image, "--spikes", files / "in.npz", "--record-v", "--target", f"replay:{session}"
    )
    assert "differs from the recording" in text
    text = cli.error("board", "--virtual", "--replay", session, code=2)
    assert "--replay excludes --virtual" in text
    with process("board", "--replay", session, "--json", "-q") as board:
        assert board.stdout is not None
        port = json.loads("".join(iter(board.stdout.readline, "}\n")) + "}")["port"]
        assert cli.json(*run, port)["spikes"] == wanted["spikes"]
        board.send_signal(signal.SIGINT)
        assert board.wait(timeout=10) == 0


def test_ctrl_c_ends_a_run_without_a_traceback(image: Path, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "in.npz", spikes=np.ones((1, 400_000, 4), bool))
    output = tmp_path / "out.npz"
    with process("run", image, "--spikes", tmp_path / "in.npz", "-o", output, "-v") as running:
        assert running.stderr is not None
        assert "loaded on golden" in running.stderr.readline()
        time.sleep(0.2)
        running.send_signal(signal.SIGINT)
        assert running.stderr.read() == ""
        assert running.wait(timeout=120) == 130
    assert not output.exists()
