import io

import pytest

from spikewright.console import Console, Table, explain
from spikewright.errors import SpikewrightError

HOSTILE = "a\x1b[31m\x07\x9b\r\u202e\ud800[/b]"
HARMLESS = r"a\x1b[31m\x07\x9b\r\u202e\ud800[/b]"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_text_of_a_file_cannot_steer_a_terminal(
    stream: type[io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names in an image or a path are shown, not obeyed: control characters, markup, surrogates."""
    monkeypatch.setenv("COLUMNS", "200")
    out, err = stream(), stream()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    console = Console()
    console.result({}, Table((HOSTILE, "b"), [(f"x\n{HOSTILE}", "y")], title=HOSTILE), HOSTILE)
    console.note(HOSTILE)
    console.error(SpikewrightError(HOSTILE, reasons=[HOSTILE], hint=HOSTILE))
    assert out.getvalue().count(HARMLESS) == 4
    assert rf"x\n{HARMLESS}" in out.getvalue()
    assert err.getvalue() == (f"{HARMLESS}\nError: {HARMLESS}\n  - {HARMLESS}\n{HARMLESS}\n")


def test_traceback_cannot_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.configure(json=False, verbosity=2, quiet=False)
    console.error(*explain(RuntimeError(HOSTILE)))
    err = capsys.readouterr().err
    assert "RuntimeError" in err
    assert "\x1b" not in err


def test_too_little_memory_is_not_our_mistake() -> None:
    error, kind = explain(MemoryError("Unable to allocate 6.94 EiB"))
    assert kind == "MemoryError"
    assert error.what == "Not enough memory: Unable to allocate 6.94 EiB."
    assert "fewer" in error.hint
