"""The CLI's side of the REST API."""

from __future__ import annotations

import hashlib
import re
import shlex
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from provisioner.cli.exits import INTERRUPTED, UNREACHABLE, USAGE, CliError, of_problem
from provisioner.cli.repeating import Patience, Unanswered

if TYPE_CHECKING:
    import ssl

    import httpx

TIMEOUT_S = 60.0
UPLOAD_TIMEOUT_S = 24 * 3600.0
PAGE = 500

_URL = re.compile(r"https?://[^/]|unix:.")
_TOKEN = re.compile(r"[!-~]+")
_NO_TOKEN = "it isn't a token's text"

Json = dict[str, Any]


def path_of(*words: str) -> str:
    """Of what is at /v1/WORD/WORD…, whatever letters a name has: `a?b` is no `a` with a question."""
    return "/v1/" + "/".join(quote(word, safe="") for word in words)


MAX_KEY_LETTERS = 200
"""That the API takes."""


def new_key() -> str:
    """By which the API tells an order that is repeated from another one."""
    return str(uuid.uuid4())


def _key_of(key: str, part: str) -> str:
    whole = f"{key}/{part}" if part else key
    return whole if len(whole) <= MAX_KEY_LETTERS else hashlib.sha256(whole.encode()).hexdigest()


class Client:
    """url: http://host:port, https://host:port, or unix:/path/to/socket. ca_file: of the authority that an
    https URL's certificate is by; None: those that this system trusts.

    What changes nothing and what has a key is sent again when its answer is lost. What is put or deleted
    isn't: another client may have changed it again in between."""

    def __init__(
        self, url: str, token_file: Path, ca_file: Path | None = None, patience: Patience | None = None
    ) -> None:
        self._url = url
        self._token_file = token_file
        self._ca_file = ca_file
        self._patience = patience or Patience()
        self._http: httpx.Client | None = None
        self._met = False  # it answered, at least once

    def get(self, path: str, **params: Any) -> Any:
        return self._told(self._repeated("GET", path, params=params))

    def text(self, path: str, **params: Any) -> str:
        return self._repeated("GET", path, params=params).text

    def stream(self, path: str, **params: Any) -> Iterator[str]:
        """A text as it comes, for as long as it comes."""
        import httpx

        forever = httpx.Timeout(TIMEOUT_S, read=None)
        try:
            with self._connected().stream("GET", path, params=params, timeout=forever) as answer:
                if not answer.is_success:
                    answer.read()
                    raise self._refusal(answer)
                yield from answer.iter_text()
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def all(self, path: str, **params: Any) -> Iterator[Json]:
        """All pages of a list."""
        while True:
            found = self.get(path, **params, limit=PAGE)
            if "items" not in found:
                raise self._stranger(f"it has no list at {path}")
            yield from found["items"]
            if "next" not in found:
                return
            params["after"] = found["items"][-1]["id"]

    def post(self, path: str, body: Any, key: str | None = None, part: str = "") -> Json:
        """An order that is carried out once, however often it is sent with its key. key: a new one unless
        given. part: which one it is of several orders with one key."""
        key = key or new_key()
        headers = {"Idempotency-Key": _key_of(key, part)}
        again = (
            "The order may have arrived: give the same command again with "
            f"--idempotency-key {shlex.quote(key)}, and it is carried out once."
        )
        try:
            answer: Json = self._told(self._repeated("POST", path, json=body, headers=headers))
        except Unanswered as error:
            if not error.arrived and not self._met:
                raise
            raise Unanswered(f"{str(error).rstrip('.')}. {again}", error.code, arrived=True) from error
        except KeyboardInterrupt:
            raise Unanswered(f"Interrupted before the answer. {again}", INTERRUPTED, arrived=True) from None
        return answer

    def ask(self, path: str, body: Any) -> Json:
        """A question with a body: it changes nothing."""
        answer: Json = self._told(self._repeated("POST", path, json=body))
        return answer

    def post_for_secret(self, path: str, body: Any, advice: str) -> Json:
        """An order that is answered by a secret, which is kept nowhere to be told again: it is sent once.
        advice: what to do when the answer is lost."""
        try:
            answer: Json = self._told(self._call("POST", path, json=body))
        except Unanswered as error:
            if not error.arrived:
                raise
            raise Unanswered(f"{str(error).rstrip('.')}. {advice}", error.code, arrived=True) from error
        return answer

    def put(self, path: str, body: Any) -> Json:
        answer: Json = self._told(self._call("PUT", path, json=body))
        return answer

    def upload(self, path: str, chunks: Iterator[bytes], size_bytes: int) -> Json:
        headers = {"Content-Length": str(size_bytes)}
        answer: Json = self._told(
            self._call("PUT", path, content=chunks, headers=headers, timeout=UPLOAD_TIMEOUT_S)
        )
        return answer

    def delete(self, path: str, **params: Any) -> Json | None:
        answer = self._call("DELETE", path, params=params)
        return self._told(answer) if answer.content else None

    def _repeated(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._patience.repeated(lambda: self._call(method, path, **options), met=self._met)

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        import httpx

        try:
            answer = self._connected().request(method, path, **options)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        self._met = True
        if not answer.is_success:
            raise self._refusal(answer)
        return answer

    def _told(self, answer: httpx.Response) -> Any:
        try:
            told = answer.json()
        except ValueError:
            told = None
        if isinstance(told, dict):
            return told
        raise self._stranger(f"it answers {answer.text[:40]!r}")

    def _stranger(self, answer: str) -> CliError:
        return CliError(
            f"What is at {self._url} isn't the provisioner's API: {answer}. "
            "Say where that is by --url or PROVISIONER_URL.",
            UNREACHABLE,
        )

    def _refusal(self, answer: httpx.Response) -> CliError:
        try:
            told = answer.json()
            title, code = str(told["title"]), str(told["code"])
        except (ValueError, KeyError, TypeError):
            return CliError(f"The API at {self._url} answered {answer.status_code}: {answer.text[:500]}")
        if answer.status_code == 401:
            return CliError(
                f"The provisioner at {self._url} doesn't know the token in {self._token_file}. "
                "Say where one is that it knows by --token-file or PROVISIONER_TOKEN_FILE."
            )
        after = answer.headers.get("retry-after", "")
        if answer.status_code == 503 and after.isdecimal():
            # Of a commit whose end nobody knows, too.
            return Unanswered(title, of_problem(503, code), arrived=True, after_s=float(after))
        return CliError(title, of_problem(answer.status_code, code))

    def _unreachable(self, error: httpx.TransportError) -> Unanswered:
        import httpx

        why = str(error).rstrip(".") or type(error).__name__
        never_sent = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)
        return Unanswered(
            f"The provisioner doesn't answer at {self._url}: {why}. "
            "Does `provisioner serve` run there? Say where it is by --url or PROVISIONER_URL.",
            UNREACHABLE,
            arrived=not isinstance(error, never_sent),
        )

    def _trusted(self) -> ssl.SSLContext | bool:
        if self._ca_file is None:
            return True
        import ssl

        try:
            return ssl.create_default_context(cafile=self._ca_file)
        except (OSError, ssl.SSLError) as error:
            raise CliError(
                f"The authority's certificate can't be read from {self._ca_file}: {error}. "
                "Say where it is by --ca-file or PROVISIONER_CA_FILE.",
                UNREACHABLE,
            ) from error

    def _token(self) -> str:
        try:
            token = self._token_file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise self._no_token(
                (error.strerror if isinstance(error, OSError) else "") or _NO_TOKEN
            ) from error
        if not _TOKEN.fullmatch(token):
            # Not sent: what refuses it as a header would repeat it.
            raise self._no_token(_NO_TOKEN if token else "it is empty")
        return token

    def _no_token(self, answer: str) -> CliError:
        return CliError(
            f"The API token can't be read from {self._token_file}: {answer}. "
            "Say where it is by --token-file or PROVISIONER_TOKEN_FILE.",
            UNREACHABLE,
        )

    def _connected(self) -> httpx.Client:
        if self._http is not None:
            return self._http
        import httpx

        token = self._token()
        if not _URL.match(self._url):
            told = "write http://host:port, https://host:port or unix:/path/to/socket"
            raise CliError(f"{self._url!r} is no URL of an API: {told}", USAGE)
        socket = self._url.removeprefix("unix:") if self._url.startswith("unix:") else None
        # To read the authorities of TLS takes as long as most commands: only where TLS is.
        verify = self._trusted() if self._url.startswith("https:") else False
        try:
            self._http = httpx.Client(
                base_url="http://provisioner" if socket else self._url,
                transport=httpx.HTTPTransport(uds=socket, verify=verify) if socket else None,
                headers={"Authorization": f"Bearer {token}"},
                timeout=TIMEOUT_S,
                trust_env=False,
                verify=verify,
            )
        except httpx.InvalidURL as error:
            raise CliError(f"{self._url!r} is no URL of an API: {error}", USAGE) from error
        return self._http
