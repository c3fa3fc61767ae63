"""Tells the compute hosts that the agent is there: until one hears it, then every half minute."""

from __future__ import annotations

import errno
import http.client
import json
import threading
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

FIRST_RETRY_S = 0.2
LAST_RETRY_S = 5.0
HEARTBEAT_S = 30.0
ANSWER_TIMEOUT_S = 5.0
NO_NETWORK = "this node has no address yet"  # nobody was asked, so there is nothing to back off from

Describe = Callable[[str], "dict[str, Any]"]
"""The announcement's body, given the address that the compute host sees us by."""


class Announcer:
    def __init__(
        self,
        urls: Sequence[str],
        *,
        token: str,
        describe: Describe,
        say: Callable[[str], None],
        heartbeat_s: float = HEARTBEAT_S,
        first_retry_s: float = FIRST_RETRY_S,
    ) -> None:
        self._urls = list(urls)
        self._token = token
        self._describe = describe
        self._say = say
        self._heartbeat_s = heartbeat_s
        self._first_retry_s = first_retry_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="announcer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(timeout=2 * ANSWER_TIMEOUT_S)

    def _work(self) -> None:
        retry_s, said = self._first_retry_s, ""
        pause_s = 0.0
        while not self._stopped.wait(pause_s):
            url = self._urls[0]
            problem = self._announce(url)
            news = (
                f"{url} can't be told that the agent is here: {problem}" if problem else f"reported to {url}"
            )
            if news != said:
                self._say(news)
                said = news
            if not problem:
                retry_s, pause_s = self._first_retry_s, self._heartbeat_s
                continue
            self._urls.append(self._urls.pop(0))
            pause_s = retry_s
            if problem != NO_NETWORK:
                retry_s = min(2 * retry_s, LAST_RETRY_S)

    def _announce(self, url: str) -> str:
        """Empty, or what went wrong."""
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_TIMEOUT_S)
        try:
            connection.connect()
            body = json.dumps(self._describe(connection.sock.getsockname()[0]))
            headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
            connection.request("POST", parts.path or "/", body, headers)
            response = connection.getresponse()
        except OSError as error:
            return NO_NETWORK if error.errno == errno.ENETUNREACH else str(error) or type(error).__name__
        except http.client.HTTPException as error:
            return str(error) or type(error).__name__
        finally:
            connection.close()
        return "" if 200 <= response.status < 300 else f"it answered {response.status} {response.reason}"
