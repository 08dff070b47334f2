"""A run in a browser: one page and a stream of events, for this machine alone."""

import base64
import hashlib
import json
import re
import secrets
import threading
from collections import deque
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Self

from spikewright.errors import SpikewrightError
from spikewright.monitored import Chunk, Monitored

__all__ = ["MonitorPage"]

_PAGE = Path(__file__).with_name("monitor.html")
_EVENTS_KEPT = 512
"""For pages that are opened late or read slowly; what they miss shows as a gap."""
_STALLED_S = 2.0
"""After which a browser that does not read is left; it connects again by itself."""


class MonitorPage:
    """Serves the page on 127.0.0.1 until the block ends; then the page says why.

    The page holds no text of the run: all of it comes as JSON in server-sent events, and is shown
    as text. Its Content-Security-Policy allows its own script and style, by their hashes, and
    nothing that is elsewhere. Requests under another host's name are refused, so that no other
    site's page can read along by giving its own name this address.

    Parameters
    ----------
    watching : Monitored
    port : int
        0 for a free one.

    Raises
    ------
    SpikewrightError
        The port is in use, or may not be used.
    """

    def __init__(self, watching: Monitored, port: int = 0) -> None:
        self._watching = watching
        self._log = _Log()
        first = {"run": secrets.token_hex(8), **watching.facts}
        try:
            self._server = _Server(port, self._log, _event("run", first))
        except OSError as error:
            raise SpikewrightError(
                f"Cannot serve a page on port {port}: {error.strerror}.",
                hint="Give another --port, or none for a free one.",
            ) from None
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self._server.port}/"

    def wait(self) -> None:
        """Wait until the page is first opened."""
        self._log.opened.wait()

    def show(self, chunk: Chunk) -> None:
        """Send a chunk to every page that is open."""
        self._log.add(_event("chunk", self._watching.chunk_facts(chunk)))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        """Tell open pages how the run ended, and end the server."""
        text = "The run ended." if error is None else "The run failed: see the terminal."
        if isinstance(error, KeyboardInterrupt):
            text = "The run was stopped."
        elif isinstance(error, SpikewrightError):
            text = f"The run failed: {error.what}"
        self._log.close(_event("end", {"text": text, "is_whole": error is None}))
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _event(kind: str, data: dict[str, object]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data, allow_nan=False)}\n\n".encode()


class _Log:
    """Events in order, the latest ones kept, for any number of readers."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self._events: deque[bytes] = deque(maxlen=_EVENTS_KEPT)
        self._count = 0
        self._is_closed = False
        self._changed = threading.Condition()

    def add(self, event: bytes) -> None:
        with self._changed:
            self._count += 1
            self._events.append(b"id: %d\n" % self._count + event)
            self._changed.notify_all()

    def close(self, event: bytes) -> None:
        """Add the last event."""
        with self._changed:
            self._is_closed = True
            self.add(event)

    def after(self, seen: int, timeout_s: float) -> tuple[list[bytes], int, bool]:
        """Events after the one of that number, the last one's number, and if none will follow."""
        with self._changed:
            self._changed.wait_for(lambda: self._count > seen or self._is_closed, timeout_s)
            new = min(self._count - seen, len(self._events)) if seen <= self._count else 0
            return list(self._events)[len(self._events) - new :], self._count, self._is_closed


class _Server(ThreadingTCPServer):
    """One thread a connection; ends once the last one has been told that the run ended."""

    allow_reuse_address = True
    daemon_threads = False

    def __init__(self, port: int, log: _Log, first_event: bytes) -> None:
        self.log = log
        self.first_event = first_event
        self.page = _PAGE.read_bytes()
        self.policy = "; ".join([
            "default-src 'none'",
            f"script-src {_hash(self.page, b'script')}",
            f"style-src {_hash(self.page, b'style')}",
            "connect-src 'self'",
            "img-src data:",  # an empty icon, so that none is asked for
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ])
        super().__init__(("127.0.0.1", port), _Handler)
        self.port = int(self.socket.getsockname()[1])


def _hash(page: bytes, tag: bytes) -> str:
    """What a policy calls the text of a page's only element of that tag."""
    found = re.findall(b"<%b>(.*?)</%b>" % (tag, tag), page, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(found[0]).digest()).decode()}'"


class _Handler(BaseHTTPRequestHandler):
    """Answers GET of the page and of its events."""

    server: _Server
    timeout = _STALLED_S
    server_version = "spikewright"
    sys_version = ""

    def handle(self) -> None:
        with suppress(OSError):  # a browser that was closed, or reads no more
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the terminal is for the run."""

    def do_GET(self) -> None:
        names = [f"{host}:{self.server.port}" for host in ("127.0.0.1", "localhost")]
        if self.headers.get("Host") not in names:
            self.send_error(403)
        elif self.path == "/":
            self._begin("text/html; charset=utf-8")
            self.wfile.write(self.server.page)
        elif self.path == "/events":
            self._begin("text/event-stream")
            self._send_events()
        else:
            self.send_error(404)

    def _begin(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", self.server.policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()

    def _send_events(self) -> None:
        last = self.headers.get("Last-Event-ID", "")
        seen, is_closed = int(last) if re.fullmatch("[0-9]{1,9}", last) else 0, False
        self.wfile.write(self.server.first_event)
        self.server.log.opened.set()
        while not is_closed:
            events, seen, is_closed = self.server.log.after(seen, 1.0)
            self.wfile.write(b"".join(events) or b":\n\n")  # a comment finds out who has gone
