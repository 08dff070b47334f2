"""Bitstreams that were built: what a folder of ``spikewright build`` says of its own."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from spikewright.errors import DataError
from spikewright.storage import read_file

from .build import MANIFEST

__all__ = ["BUILDS", "Built", "find_builds", "read_bitstream", "read_build"]

BUILDS = Path("build/boards")
"""Where builds are looked for, a folder each."""
_LARGEST = 64 << 20
"""No bitstream or manifest of the boards is as large [bytes]."""

_Name = Annotated[str, Field(pattern=r"^[\w.-]*[\w-][\w.-]*$")]


class _File(BaseModel):
    file: _Name
    sha256: str


class _Manifest(BaseModel):
    """The fields that are needed here; others may be there."""

    board: str
    spec_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    build_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    bitstream: _File | None


@dataclass(frozen=True, slots=True)
class Built:
    """A bitstream that may be written to a board.

    Attributes
    ----------
    bitstream : Path
    sha256 : str
        Of the bitstream.
    board : str
        The board it was built for; empty if that is not known.
    spec_hash, build_id : str
        What a device with it answers to HELLO, in hexadecimal; empty if they are not known.
    """

    bitstream: Path
    sha256: str
    board: str = ""
    spec_hash: str = ""
    build_id: str = ""


def read_bitstream(path: Path) -> Built:
    """A bitstream of which nothing is known. Raises :class:`DataError`."""
    return Built(path, hashlib.sha256(_read(path)).hexdigest())


def read_build(folder: Path) -> Built:
    """What a folder holds that ``spikewright build`` left.

    Raises
    ------
    DataError
        It holds none, one for a vendor's tools, or its bitstream is not whole.
    """
    again = "Build it again: spikewright build --board BOARD."
    try:
        manifest = _Manifest.model_validate_json(_read(folder / MANIFEST))
    except ValidationError as error:
        raise DataError(f"{folder / MANIFEST} is not one of a build: {error}", hint=again) from None
    if manifest.bitstream is None:
        raise DataError(
            f"{folder} holds no bitstream: {manifest.board} needs its vendor's tools for one.",
            hint="Make it with them, and name it: --bitstream FILE.",
        )
    found = read_bitstream(folder / manifest.bitstream.file)
    if found.sha256 != manifest.bitstream.sha256:
        raise DataError(f"{found.bitstream} is not what was built: its hash differs.", hint=again)
    return Built(
        found.bitstream, found.sha256, manifest.board, manifest.spec_hash, manifest.build_id
    )


def find_builds(board: str, root: Path = BUILDS) -> list[Path]:
    """Folders in which a build for a board lies, by name."""
    return sorted(path.parent for path in root.glob(f"{board}-*/{MANIFEST}"))


def _read(path: Path) -> bytes:
    try:
        return read_file(path, _LARGEST)
    except OSError as error:
        raise DataError(
            f"Cannot read {path}: {error.strerror}.", hint="Name another file or folder."
        ) from None
