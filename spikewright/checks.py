"""What one look at a machine found."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Check", "Status"]

Status = Literal["ok", "note", "missing"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name : str
    status : {"ok", "note", "missing"}
        ``note``: works without; ``missing``: required.
    found : str
        What is there.
    remedy : str
        The command that mends it; empty if there is nothing to mend.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""
