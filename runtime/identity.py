"""Who answers on a serial port, and whether it is what is expected there."""

import time

from spikewright.errors import LinkError

from .link import Link, parse_port
from .protocol import Hello
from .session import Session

__all__ = ["ask", "differences", "identify"]

_SOON_S = 0.1
"""First wait for a reply: short, for nothing may be there; it doubles five times."""
_PAUSE_S = 0.2


def ask(name: str) -> Hello | None:
    """Who the device on a port is; None if none answers within about 7 s.

    Parameters
    ----------
    name : str
        The port, as :func:`~spikewright.runtime.link.parse_port` takes it.

    Raises
    ------
    LinkError
        The port cannot be opened.
    """
    port, baud_hz = parse_port(name)
    with Link(port, baud_hz=baud_hz) as link:
        try:
            return Session(link, retry_s=_SOON_S).open()
        except LinkError:
            return None


def identify(name: str, within_s: float = 0.0) -> Hello:
    """Who the device on a port is, tried again until then: a port may be on its way back.

    Raises
    ------
    LinkError
        The port cannot be opened, or no device of this protocol answers.
    """
    deadline = time.monotonic() + within_s
    port, baud_hz = parse_port(name)
    while True:
        try:
            with Link(port, baud_hz=baud_hz) as link:
                return Session(link, retry_s=_SOON_S).open()
        except LinkError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE_S)


def differences(hello: Hello, *, spec_hash: str = "", build_id: str = "") -> list[str]:
    """What a device is other than expected; what is empty is not compared."""
    pairs = (
        ("spec", spec_hash[: len(hello.spec_hash)], hello.spec_hash),
        ("build", build_id, hello.build_id),
    )
    return [
        f"{what} is {has}, not {wanted}" for what, wanted, has in pairs if wanted and wanted != has
    ]
