"""A headless Chromium, driven by its DevTools protocol over a pair of pipes."""

from __future__ import annotations

import base64
import ctypes
import json
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

DEADLINE_S = 60.0
PR_SET_PDEATHSIG = 1  # linux/prctl.h

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"),
    "--remote-debugging-pipe",
)


class Browser:
    """One page. It counts what the page asks for and what goes wrong in it."""

    def __init__(self, profile: Path, *, width: int, height: int) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._buffer = b""
        self._number = 0
        self._session = ""
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        words = (
            "chromium",
            *FLAGS,
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
            "about:blank",
        )
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec {shlex.join(words)} 3<&{theirs_in} 4>&{theirs_out}"],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_with_parent,
            env={**os.environ, "HOME": str(profile)},
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._from, selectors.EVENT_READ)
        try:
            attached = self.call("Target.attachToTarget", targetId=self._page(), flatten=True)
            self._session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
            self.resize(width, height)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._to)  # Chromium ends when its pipe does
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
            self._selector.close()
            os.close(self._from)

    def _page(self) -> str:
        """It answers before it has one."""
        ends_at = time.monotonic() + DEADLINE_S
        while True:
            for target in self.call("Target.getTargets")["targetInfos"]:
                if target["type"] == "page":
                    return str(target["targetId"])
            assert time.monotonic() < ends_at, f"no page within {DEADLINE_S:g} s"
            time.sleep(0.02)

    def resize(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def open(self, path: Path) -> None:
        self.call("Page.navigate", url=path.as_uri())
        self.until("document.readyState === 'complete' && !!document.getElementById('canvas').dataset.drawn")

    def value(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Each look lets the browser draw a frame first."""
        ends_at = time.monotonic() + DEADLINE_S
        look = f"new Promise((done) => requestAnimationFrame(() => done(Boolean({expression}))))"
        while not self.value(look):
            assert time.monotonic() < ends_at, f"not within {DEADLINE_S:g} s: {expression}"

    def type(self, field: str, text: str) -> None:
        self.value(f"document.getElementById('{field}').focus()")
        self.value(f"document.getElementById('{field}').select()")
        if text:
            self.call("Input.insertText", text=text)
        else:
            self.press("Backspace")

    def press(self, key: str) -> None:
        code = {"Backspace": 8}.get(key, 0)
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def point(self, x: float, y: float) -> None:
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def wheel(self, x: float, y: float, delta_y: float, *, control: bool) -> None:
        modifiers = 2 if control else 0
        self.call(
            "Input.dispatchMouseEvent",
            type="mouseWheel",
            x=x,
            y=y,
            deltaX=0,
            deltaY=delta_y,
            modifiers=modifiers,
        )

    def drag(self, from_x: float, to_x: float, y: float) -> None:
        held = {"y": y, "button": "left", "buttons": 1, "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=from_x, **held)
        for share in (0.25, 0.5, 0.75, 1.0):
            x = from_x + share * (to_x - from_x)
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, **held)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=to_x, **{**held, "buttons": 0})

    def prefer(self, scheme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def picture(self, *, whole: bool = False) -> bytes:
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Raises AssertionError with the browser's words."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        answer = self._read(lambda one: one.get("id") == number, method)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self, wanted: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        ends_at = time.monotonic() + DEADLINE_S
        while True:
            while b"\0" not in self._buffer:
                left_s = ends_at - time.monotonic()
                assert left_s > 0 and self._selector.select(left_s), f"Chromium gave no answer to {what}"
                read = os.read(self._from, 1 << 20)
                assert read, f"Chromium ended before it answered {what}"
                self._buffer += read
            line, _, self._buffer = self._buffer.partition(b"\0")
            message: dict[str, Any] = json.loads(line)
            self._note(message)
            if wanted(message):
                return message

    def _note(self, message: dict[str, Any]) -> None:
        told = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(told["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                self.complaints.append(str(told["args"]))
            case "Log.entryAdded":
                self.complaints.append(str(told["entry"]))


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
