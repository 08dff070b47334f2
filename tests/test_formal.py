"""One of the proofs that ``make formal`` runs, and what runs them."""

import json
from dataclasses import replace
from pathlib import Path

import prove as make_formal
import pytest
from formal.blocks import Block, Mutant
from formal.claims import CLAIMS
from formal.engine import break_it, prove


def test_claim_is_proved_and_its_mutant_caught(tmp_path: Path) -> None:
    (claim,) = (claim for claim in CLAIMS if claim.name == "FIFO")
    first = next(iter(claim.sizes))
    assert prove(claim.true(first), window=claim.window, folder=tmp_path / "true").status == "PASS"
    caught = break_it(claim.false(claim.mutants[0]), depth=claim.depth, folder=tmp_path / "false")
    assert caught.status == "FAIL"


def test_mutant_in_no_reach_is_not_caught(tmp_path: Path) -> None:
    """A fault that shows in cycle 3 is none for whoever looks at the first two."""
    (claim,) = (claim for claim in CLAIMS if claim.name == "FIFO")
    false = claim.false(claim.mutants[0])
    assert break_it(false, depth=2, folder=tmp_path).status == "PASS"


def test_what_does_not_hold_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A block that is broken, and a mutant that is not."""
    (claim,) = (claim for claim in CLAIMS if claim.name == "COBS length")
    broken = replace(claim.block, mutant=claim.mutants[0])
    wrong = replace(claim, block=broken, mutants=(Mutant("[bad.eq(1), ", "[bad.eq(True), "),))
    monkeypatch.setattr(make_formal, "CLAIMS", (wrong,))
    monkeypatch.setattr(make_formal, "FOLDER", tmp_path / "formal")
    assert make_formal.main(["--only", "length"]) == 1
    said = capsys.readouterr()
    assert "NOT CAUGHT" in said.out
    assert "FAIL" in said.out
    assert "Not everything holds" in said.err
    (row,) = json.loads((tmp_path / "formal.json").read_text())
    assert (row["claim"], row["proved"], row["status"]) == ("COBS length", False, "FAIL")
    assert [mutant["caught"] for mutant in row["mutants"]] == [False]


def test_mutants_are_of_today() -> None:
    """What a mutant replaces is in the source, once."""
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS) > 10
    for claim in CLAIMS:
        for mutant in claim.mutants:
            assert mutant.old != mutant.new
            assert replace(claim.block, mutant=mutant).load().__name__ == claim.block.name


def test_mutant_of_yesterday() -> None:
    gone = Block("spikewright.hdl.crc", "CRC32C", Mutant("_POLYNOMIAL = 1", "_POLYNOMIAL = 2"))
    with pytest.raises(ValueError, match=r"^spikewright\.hdl\.crc must have .* once, not 0$"):
        gone.load()
    stand_in = Block("spikewright.hdl.crc", "CRC32C", stand_ins={"FIFO": object})
    with pytest.raises(ValueError, match=r"^spikewright\.hdl\.crc has no FIFO to stand in for$"):
        stand_in.load()
