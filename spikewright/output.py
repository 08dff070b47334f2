"""Writing files so that nobody ever finds half of one."""

import secrets
from pathlib import Path

__all__ = ["replace_file"]


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
