"""The command line, run in this process or in one of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from spikewright.cli import main

COMMAND = str(Path(sys.executable).with_name("spikewright"))


class Cli:
    """Runs the command line in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object, code: int = 0) -> str:
        """What came on stdout, and nothing on stderr."""
        assert main(list(map(str, arguments))) == code
        out, err = self._capsys.readouterr()
        assert err == ""
        return out

    def json(self, *arguments: object) -> Any:
        return json.loads(self(*arguments, "--json"))

    def error(self, *arguments: object, code: int = 1) -> str:
        """What came on stderr; the same error as JSON comes on stdout if that is asked for."""
        assert main(list(map(str, arguments))) == code
        text = self._capsys.readouterr()
        assert text.out == ""
        assert main([*map(str, arguments), "--json"]) == code
        both = self._capsys.readouterr()
        assert both.err == text.err
        error = json.loads(both.out)["error"]
        lines = [f"Error: {error['what']}", *(f"  - {reason}" for reason in error["reasons"])]
        assert text.err == "\n".join([*lines, error["next"]] if error["next"] else lines) + "\n"
        assert "Traceback" not in text.err
        return text.err


@contextmanager
def process(*arguments: object) -> Iterator["subprocess.Popen[str]"]:
    """The command in a process of its own, which does not outlive the block.

    It listens to SIGINT even if this process does not, as where a shell started it beside itself.
    """
    listen = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [sys.executable, "-c", listen, COMMAND, *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as running:
        try:
            yield running
        finally:
            running.kill()
