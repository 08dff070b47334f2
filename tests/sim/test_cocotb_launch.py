from pathlib import Path

import pytest

from spikewright.errors import ToolError
from spikewright.sim.cocotb_launch import run_bench


def test_verilog_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"^cocotb's runner failed: Command failed ") as error:
        run_bench("module top(", top="top", module="json", folder=tmp_path, environment={})
    assert error.value.hint == f"See {tmp_path}."
    assert "syntax error" in (tmp_path / "build.log").read_text()
