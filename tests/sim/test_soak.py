import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rtl import GREATER, break_cores

from spikewright.errors import SpikewrightError
from spikewright.sim.soak import Plan, Soak, main, soak_spec

PLAN = Plan(specs=3, neuron_steps=9_000, seed=160)
ARGUMENTS = ("--specs", "3", "--neuron-steps", "9e3", "--seed", "160", "--workers", "2")


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_plan_is_met_by_every_spec() -> None:
    timesteps = PLAN.spec_timesteps()
    specs = [PLAN.spec(number) for number in range(PLAN.specs)]
    assert [spec.plastic for spec in specs] == [False, False, True]
    assert sum(spec.neurons * timesteps for spec in specs) >= PLAN.neuron_steps
    assert len(set(specs)) == 3


def test_command_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "soak" / "state.json"
    arguments = [*ARGUMENTS, "--state", str(state)]
    assert main(arguments) == 0
    content = read(state)
    total = content["total"]
    assert total["specs"] == 3
    assert total["neuron_steps"] >= PLAN.neuron_steps
    assert total["mismatches"] == 0
    assert total["complete"]
    assert total["spikes"] > 0
    assert total["updates"] > 0
    assert [result["spec"] for result in content["results"]] == [0, 1, 2]
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == total

    # Interrupted after two specs: only the third is run again, and all is as before.
    lost = content["results"].pop(1)
    state.write_text(json.dumps(content))
    assert main(arguments) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed[:-1]] == ["spec 1"]
    again = read(state)["results"][1]
    assert {**again, "seconds": 0} == {**lost, "seconds": 0}
    assert read(state)["total"]["seconds"] > total["seconds"]


def test_failure_is_kept_with_its_seed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    break_cores(monkeypatch, *GREATER)
    result = soak_spec(PLAN, 1, PLAN.spec_timesteps(), tmp_path)
    assert len(result.failures) == 1
    first, spec, recipe, mismatch, *_ = result.failures[0].splitlines()
    seed = re.fullmatch(r"seed \(160, 1, (\d+)\)", first)
    assert seed
    assert spec == str(PLAN.spec(1))
    assert recipe.startswith("Recipe(seed=")
    assert re.match(r"Sample \d+, timestep \d+, neuron \d+: \w+ is ", mismatch)
    assert list((tmp_path / f"160-1-{seed[1]}").glob("*.vcd"))


def test_failure_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    break_cores(monkeypatch, *GREATER)
    arguments = [*ARGUMENTS, "--state", str(tmp_path / "state.json"), "--only", "1"]
    assert main(arguments) == 1
    printed = capsys.readouterr().out
    assert "1 failures" in printed
    assert "seed (160, 1, " in printed
    assert not (tmp_path / "state.json").exists()


def test_failed_specs_do_not_pass_when_resumed(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    soak = Soak(Plan(specs=1, neuron_steps=100, seed=160), state)
    for result in soak.run(workers=1):
        soak.results[result.spec] = replace(result, failures=("seed ...",))
    soak._write()
    arguments = ["--specs", "1", "--neuron-steps", "100", "--seed", "160", "--state", str(state)]
    assert main(arguments) == 1


def test_state_is_written_beside_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "state.json.partial").symlink_to("mine")
    Soak(PLAN, tmp_path / "state.json")._write()
    assert (tmp_path / "mine").read_text() == "mine"
    names = ["mine", "state.json", "state.json.partial"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_state_of_another_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "state.json"
    list(Soak(Plan(specs=1, neuron_steps=100, seed=160), state).run(workers=1))
    before = state.read_text()
    assert main([*ARGUMENTS, "--state", str(state)]) == 1
    assert "is of Plan(specs=1, neuron_steps=100, seed=160), not of" in capsys.readouterr().err
    assert state.read_text() == before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"plan": {"speed": 1}}'])
def test_damaged_state(text: str, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text(text)
    with pytest.raises(SpikewrightError, match=r"^Cannot go on from .*\nDelete the file\.$"):
        Soak(PLAN, state)
