"""A headless Chromium, driven over its DevTools pipe; nothing but the standard library."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["CHROMIUM", "Tab", "a_tab"]

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))),
    None,
)
"""The browser's path; None where there is none."""
DEADLINE_S = 60.0


class Tab:
    """One tab; every wait has a deadline."""

    def __init__(self, commands: int, replies: int) -> None:
        self._commands, self._replies = commands, replies
        self._buffer = b""
        self._count = 0
        self._session: dict[str, str] = {}
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": session["sessionId"]}
        self.call("Log.enable")
        self.call("Runtime.enable")
        self.call("Page.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters, **self._session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (reply := self._read()).get("id") != self._count:
            if reply.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.complaints.append(json.dumps(reply["params"]))
        assert "error" not in reply, reply
        return reply["result"]

    def _read(self) -> Any:
        end = time.monotonic() + DEADLINE_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._replies], [], [], max(0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            data = os.read(self._replies, 1 << 16)
            assert data, "the browser ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, url: str) -> None:
        """Go to a page and wait until it is there."""
        self.call("Page.navigate", url=url)
        self.wait_for(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + DEADLINE_S
        while not self.value(expression):
            assert time.monotonic() < end, expression
            time.sleep(0.05)

    def screenshot(self, path: Path) -> None:
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))


@contextmanager
def a_tab(folder: Path) -> Iterator[Tab]:
    """A browser with a profile of its own in an empty folder."""
    assert CHROMIUM is not None
    to_read, commands = os.pipe()
    replies, to_write = os.pipe()
    connect = (  # the browser takes commands from descriptor 3 and answers on 4
        "import os, sys\n"
        "from fcntl import F_DUPFD, fcntl\n"
        "high = [fcntl(int(number), F_DUPFD, 10) for number in sys.argv[1:3]]\n"
        "os.dup2(high[0], 3), os.dup2(high[1], 4)\n"
        "os.execv(sys.argv[3], sys.argv[3:])"
    )
    options = [
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"),
        *("--no-first-run", "--disable-dev-shm-usage", "--window-size=1200,900"),
        *("--disable-background-networking", "--disable-component-update"),
        f"--user-data-dir={folder}",
    ]
    with subprocess.Popen(
        [sys.executable, "-c", connect, str(to_read), str(to_write), CHROMIUM, *options],
        pass_fds=(to_read, to_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as browser:
        os.close(to_read)
        os.close(to_write)
        try:
            yield Tab(commands, replies)
        finally:
            browser.terminate()
            os.close(commands)
            os.close(replies)
