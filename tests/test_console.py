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


@pytest.mark.parametrize("is_terminal", [False, True])
@pytest.mark.parametrize(
    ("encoding", "name"), [("ascii", r"\xc5\u2192"), ("latin-1", r"Å\u2192"), ("utf-8", "Å→")]
)
def test_stdout_that_cannot_show_a_name(
    encoding: str, name: str, is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200" if encoding == "utf-8" else "9")
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    monkeypatch.setattr(out, "isatty", lambda: is_terminal)
    monkeypatch.setattr("sys.stdout", out)
    Console().result({}, Table(("Å→", "wide"), [("Å→", "x"), ("y", "z")], title="Å→"), "Å→")
    Console(json=True).result({"name": "Å→"})
    assert isinstance(out.buffer, io.BytesIO)
    text = out.buffer.getvalue().decode(encoding)
    assert text.count(name) == 4
    assert r'"name": "\u00c5\u2192"' in text
    if not is_terminal or encoding != "utf-8":
        width = len(name)
        assert f"\n{name}  wide\n{name}  x\n{'y':{width}}  z\n" in text


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
