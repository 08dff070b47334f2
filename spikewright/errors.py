"""The exceptions that Spikewright raises on purpose: one base and a few kinds."""

from collections.abc import Sequence

__all__ = [
    "BoardError",
    "DataError",
    "ImageError",
    "LinkError",
    "MismatchError",
    "ModelError",
    "SpecError",
    "SpikewrightError",
    "ToolError",
]


class SpikewrightError(Exception):
    """Something a user can mend: what happened, why, and what to do next.

    Parameters
    ----------
    what : str
        What is wrong, naming the thing and the limit.
    reasons : sequence of str
        Several faults found together; shown as a bulleted list.
    hint : str
        What to do next; empty if there is nothing to suggest.
    """

    def __init__(self, what: str, *, reasons: Sequence[str] = (), hint: str = "") -> None:
        self.what = what
        self.reasons = tuple(reasons)
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        lines = [self.what, *(f"  - {reason}" for reason in self.reasons)]
        if self.hint:
            lines.append(self.hint)
        return "\n".join(lines)


class SpecError(SpikewrightError, ValueError):
    """A core specification that cannot be built, or does not match."""


class ImageError(SpikewrightError, ValueError):
    """A core image that is damaged, out of range or made for another spec."""


class DataError(SpikewrightError, ValueError):
    """Spikes, results or a recorded case that cannot be read, written or used with an image."""


class ModelError(SpikewrightError, ValueError):
    """A network that cannot be read, is ambiguous or does not fit."""


class MismatchError(SpikewrightError):
    """Two implementations of the same semantics disagree."""


class LinkError(SpikewrightError, OSError):
    """The serial link failed: no port, no answer in time, damaged or foreign frames."""


class BoardError(SpikewrightError):
    """The device at the other end answered, and refused."""


class ToolError(SpikewrightError, RuntimeError):
    """An external tool is missing, shadowed or failed."""
