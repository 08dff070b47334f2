"""Files read up to a limit, and written whole or not at all."""

import errno
import os
import secrets
from pathlib import Path

__all__ = ["check_regular", "read_file", "replace_file"]


def check_regular(path: Path | str) -> None:
    """Refuse a pipe or a device, before it is opened: it may have no end, or never begin.

    What is not there, and a folder, is left to whoever opens it.

    Raises
    ------
    OSError
    """
    source = Path(path)
    if source.exists() and not (source.is_file() or source.is_dir()):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))


def read_file(path: Path | str, most: int) -> bytes:
    """Read a regular file of at most so many bytes.

    Raises
    ------
    OSError
        It cannot be read, is larger, or is a pipe or a device.
    """
    check_regular(path)
    with Path(path).open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data


def replace_file(path: Path | str, data: bytes) -> None:
    """Write a file whole or not at all; no other file is touched, not even for a while.

    What is there and no file, such as a pipe or ``/dev/null``, is written to, not replaced.

    Raises
    ------
    OSError
        It cannot be written; what was there before is still there.
    """
    target = Path(path)
    if target.exists() and not target.is_file():
        target.write_bytes(data)
        return
    partial = target.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        with partial.open("xb") as file:  # never through a link that somebody left there
            file.write(data)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
