"""What the command line prints: results on stdout, as text or JSON; everything else on stderr."""

import json
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from spikewright.errors import SpikewrightError

if TYPE_CHECKING:
    from spikewright.target import Progress

__all__ = ["Console", "Table", "explain", "plain"]


@dataclass(frozen=True)
class Table:
    """Rows under headings; ``rows`` of strings, as long as ``columns``."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""

    def text(self, encoding: str) -> str:
        """Columns side by side, of characters that an encoding has."""
        table = (self.columns, *self.rows)
        lines = [[plain(cell, "", encoding) for cell in line] for line in table]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        return "\n".join([plain(self.title, "", encoding), *text] if self.title else text)


class Console:
    """Output of one command.

    Colours, boxes and progress bars are for terminals only; a pipe or a file gets plain text.

    Parameters
    ----------
    json : bool
        One JSON document on stdout instead of text; an error is one too.
    """

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        self.quiet = False
        self.verbosity = 0

    def configure(self, *, json: bool, verbosity: int, quiet: bool) -> None:
        """Add what options say; they may come before and after the subcommand."""
        self.json |= json
        self.quiet |= quiet
        self.verbosity += verbosity

    def result(self, data: Mapping[str, Any], *parts: Table | str) -> None:
        """Print a result: ``data`` as JSON, or ``parts`` as text."""
        if self.json:
            print(json.dumps(data, indent=2, allow_nan=False), flush=True)
        elif not self.quiet:
            for part in parts:
                _print(part, sys.stdout)
            sys.stdout.flush()

    def note(self, text: str) -> None:
        """Say what goes on, on stderr."""
        if not self.quiet:
            print(plain(text), file=sys.stderr, flush=True)

    def detail(self, text: str) -> None:
        """Say what only ``-v`` asks for."""
        if self.verbosity:
            self.note(text)

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> "Iterator[Progress]":
        """Show a bar on stderr while the block runs; it is gone when the block ends.

        Parameters
        ----------
        what : str
            What goes on.
        total : int
            How many there are to do; None if nobody knows.

        Yields
        ------
        callable
            To be told how many of ``total`` have just been finished.
        """
        if self.quiet or not sys.stderr.isatty():
            yield lambda count: None
            return
        import rich.console
        import rich.progress

        with rich.progress.Progress(
            rich.progress.TextColumn("{task.description}", markup=False),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeElapsedColumn(),
            console=rich.console.Console(stderr=True),
            transient=True,
        ) as bar:
            task = bar.add_task(plain(what, ""), total=total)
            yield lambda count: bar.advance(task, count)

    def error(self, error: SpikewrightError, kind: str = "", *, code: int = 1) -> int:
        """Print what, why and what next; give back the exit code.

        Parameters
        ----------
        error : SpikewrightError
            With a traceback under ``-vv``, its cause's if it has one.
        kind : str
            Name of the kind of error; by default its class.
        code : int
            Exit code.
        """
        if self.json:
            details = {
                "kind": kind or type(error).__name__,
                "what": error.what,
                "reasons": error.reasons,
                "next": error.hint,
            }
            with suppress(OSError):  # that of a full disk comes here
                print(json.dumps({"error": details}, indent=2), flush=True)
        if self.verbosity > 1:
            print(plain("".join(traceback.format_exception(error))), file=sys.stderr, end="")
        print(plain(f"Error: {error}"), file=sys.stderr, flush=True)
        _drop_unwritten()
        return code


def _drop_unwritten() -> None:
    """What standard output did not take, Python tries to write again as it ends, and fails."""
    try:
        sys.stdout.flush()
    except OSError:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def explain(error: Exception) -> tuple[SpikewrightError, str]:
    """Any exception as one to be shown, and the name of its kind."""
    if isinstance(error, SpikewrightError):
        return error, type(error).__name__
    if isinstance(error, ModuleNotFoundError):
        what, kind = f"Package {error.name!r} is not installed.", "ToolError"
        hint = "How to get it: spikewright doctor"
    elif isinstance(error, MemoryError):
        what, kind = f"Not enough memory: {error or 'no more is to be had'}.", "MemoryError"
        hint = "Take fewer samples or timesteps at a time, or a smaller network."
    elif isinstance(error, OSError):
        what, kind = f"{error.strerror or error}: {error.filename or 'writing output'}.", "OSError"
        hint = "Make room or name another file, and run the command again."
    else:
        what, kind = f"Internal error: {type(error).__name__}: {error}", "InternalError"
        hint = "This is a mistake in Spikewright: run again with -vv, and report what it prints."
    shown = SpikewrightError(what, hint=hint)
    shown.__cause__ = error
    return shown, kind


def plain(text: str, kept: str = "\n\t", encoding: str = "utf-8") -> str:
    """Escape what a terminal would obey, or could not show: names in files are anybody's."""
    harmless = "".join(
        c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text
    )
    return harmless.encode(encoding, "backslashreplace").decode(encoding)


def _print(part: Table | str, file: TextIO) -> None:
    encoding = file.encoding or "utf-8"
    if isinstance(part, str):
        print(plain(part, encoding=encoding), file=file)
    elif file.isatty() and encoding.lower().startswith("utf"):
        _draw(part, file)
    else:
        print(part.text(encoding), file=file)


def _draw(part: Table, file: TextIO) -> None:
    import rich.box
    import rich.console
    import rich.table
    import rich.text

    def text(cell: str) -> rich.text.Text:
        return rich.text.Text(plain(cell, ""))  # a plain string would be read as markup

    title = text(part.title) if part.title else None
    table = rich.table.Table(title=title, title_justify="left", box=rich.box.SIMPLE_HEAD)
    for column in part.columns:
        table.add_column(text(column))
    for row in part.rows:
        table.add_row(*map(text, row))
    rich.console.Console(file=file).print(table)
