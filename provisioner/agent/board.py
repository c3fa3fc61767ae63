"""The commands of this boot: one runs at a time, each id once, none with a fence older than the newest seen.

The fence is a number that grows each time a node gets another owner. A compute host that lost a node
without knowing it is turned away here, and what it exported is withdrawn before its successor's first
command runs.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from provisioner.agent.errors import Cancelled, CommandError, Refusal
from provisioner.agent.job import Job
from provisioner.agent.params import Params

Result = dict[str, Any]
Run = Callable[[Job], Result]
Command = Callable[[Params], Run]
"""Checks the parameters (raises Refusal) and gives back what is to be run."""

KEPT_COMMANDS = 64


class Record:
    """One command: what was asked, how far it is, what came of it."""

    def __init__(self, command_id: str, name: str, fence: int, digest: str, run: Run) -> None:
        self.id = command_id
        self.name = name
        self.fence = fence
        self.digest = digest
        self.run = run
        self.job = Job()
        self.state = "running"
        self.result: Result | None = None
        self.error: dict[str, str] | None = None

    def view(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "progress": self.job.progress_view(),
            "result": self.result,
            "error": self.error,
        }


class CommandBoard:
    def __init__(
        self,
        commands: Mapping[str, Command],
        *,
        fence: int = 0,
        fence_file: Path,
        shut_out: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        """fence: whose boot this is: no older owner is obeyed, though it knows the token.
        fence_file: keeps the fence when the agent is restarted within one boot.
        shut_out: withdraws everything an older owner may still write through."""
        self._commands = commands
        self._fence_file = fence_file
        self._shut_out = shut_out
        self._say = say
        self._changed = threading.Condition()
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._waiting: deque[Callable[[], None]] = deque()
        self._closed = False
        self.fence = max(fence, int(fence_file.read_text()) if fence_file.exists() else 0)
        self._thread = threading.Thread(target=self._work, name="commands", daemon=True)
        self._thread.start()

    def put(self, command_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        name, fence, params = body.get("name"), body.get("fence"), body.get("params", {})
        if unknown := sorted(set(body) - {"name", "fence", "params"}):
            raise Refusal(400, "invalid-command", f"{unknown[0]!r} is not a field of a command")
        if not isinstance(name, str) or name not in self._commands:
            known = ", ".join(sorted(self._commands))
            raise Refusal(
                400, "unknown-command-name", f"{str(name)[:80]!r} is no command; there are: {known}"
            )
        if not isinstance(params, dict):
            raise Refusal(400, "invalid-params", "params must be an object")
        checked = Params(params)
        run = self._commands[name](checked)
        checked.finish()
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        with self._changed:
            self._admit(fence)
            if (known_record := self._records.get(command_id)) is not None:
                if known_record.digest != digest:
                    raise Refusal(
                        409,
                        "command-id-reused",
                        f"command {command_id} was given before with another content",
                    )
                return known_record.view()
            self._refuse_if_busy()
            record = Record(command_id, name, self.fence, digest, run)
            self._remember(record)
            self._waiting.append(lambda: self._run(record))
            self._changed.notify_all()
            return record.view()

    def get(self, command_id: str, wait_s: float) -> dict[str, Any]:
        """The command as it is, or as it is when it ended within wait_s."""
        with self._changed:
            record = self._find(command_id)
            self._changed.wait_for(lambda: record.state != "running" or self._closed, timeout=wait_s)
            return record.view()

    def cancel(self, command_id: str, fence: int) -> dict[str, Any]:
        with self._changed:
            self._admit(fence)
            record = self._find(command_id)
            if record.state == "running":
                record.job.cancel("cancelled", f"command {record.name} was cancelled on request")
            return record.view()

    def last(self) -> dict[str, Any] | None:
        with self._changed:
            return next(reversed(self._records.values())).view() if self._records else None

    def close(self) -> None:
        """Cancels what runs, withdraws what is exported, and returns when nothing of it goes on."""
        with self._changed:
            self._closed = True
            for record in self._records.values():
                record.job.cancel("cancelled", "the agent ends")
            self._changed.notify_all()
        self._thread.join()

    def _admit(self, fence: object) -> None:
        if isinstance(fence, bool) or not isinstance(fence, int) or not 0 <= fence < 2**63:
            raise Refusal(400, "invalid-fence", "fence must be a whole number, 0 or more")
        if fence < self.fence:
            raise Refusal(
                403,
                "stale-fence",
                f"fence {fence} is older than {self.fence}: this node has another owner by now",
                fence=self.fence,
            )
        if fence == self.fence:
            return
        self._say(f"fence {fence} replaces {self.fence}: exports of the older owner are withdrawn")
        partial = self._fence_file.with_suffix(".new")
        partial.write_text(str(fence))
        partial.replace(self._fence_file)
        self.fence = fence
        for record in self._records.values():
            if record.state == "running":
                record.job.cancel("superseded", f"a compute host with the newer fence {fence} took over")
        self._waiting.append(self._shut_out_quietly)
        self._changed.notify_all()

    def _refuse_if_busy(self) -> None:
        for record in self._records.values():
            if record.state == "running" and not record.job.cancelled:
                raise Refusal(
                    409, "busy", f"command {record.id} ({record.name}) is running", running=record.id
                )

    def _find(self, command_id: str) -> Record:
        record = self._records.get(command_id)
        if record is None:
            raise Refusal(
                404,
                "unknown-command",
                f"no command {command_id} was given since the agent started: give it again",
            )
        return record

    def _remember(self, record: Record) -> None:
        self._records[record.id] = record
        ended = [kept.id for kept in self._records.values() if kept.state != "running"]
        for command_id in ended[: max(0, len(self._records) - KEPT_COMMANDS)]:
            del self._records[command_id]

    def _work(self) -> None:
        """The command thread. Daemons die with it (job.spawn_daemon): it lives as long as the agent."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    break
                task = self._waiting.popleft()
            task()
        self._shut_out_quietly()

    def _shut_out_quietly(self) -> None:
        try:
            self._shut_out()
        except Exception as error:  # noqa: BLE001 - the command thread must live on
            self._say(f"withdrawing the exports of an older owner: {error}")

    def _run(self, record: Record) -> None:
        began_s = time.monotonic()
        result, error = self._outcome(record)
        with self._changed:
            record.result, record.error = result, error
            record.state = "failed" if error else "done"
            self._changed.notify_all()
        took_s = time.monotonic() - began_s
        reason = f" ({error['code']}): {error['message']}" if error else ""
        self._say(f"command {record.name} {record.state} after {took_s:.1f} s{reason}")

    def _outcome(self, record: Record) -> tuple[Result | None, dict[str, str] | None]:
        try:
            record.job.check()
            self._say(f"command {record.name} ({record.id}, fence {record.fence}) begins")
            return record.run(record.job), None
        except Cancelled as error:
            return None, {"code": error.code, "message": error.message}
        except CommandError as error:
            return None, {"code": error.code, "message": error.message}
        except Exception as error:  # noqa: BLE001 - a command's bug must not take the agent down
            sys.excepthook(type(error), error, error.__traceback__)
            return None, {"code": "internal-error", "message": f"{type(error).__name__}: {error}"}
