"""What a modelled tilepro64 board does once it is up: its monitor's commands, its SSH server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bmsim.devices import tile_commands as acts
from scenarios.runner.model.roots import Root

Note = Callable[..., None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Exit code, what was printed, what was complained."""

    code: int = 0
    out: str = ""
    err: str = ""


class TileSystem:
    """Of one board. root: what it runs from, as long as it is up; printed: all that its console said;
    mounted: what it finds at its root now."""

    def __init__(
        self, mac: str, printed: Sequence[str], note: Note, mounted: Callable[[], Root | None]
    ) -> None:
        self._mac = self._own_mac = mac
        self._printed = printed
        self._note = note
        self._mounted = mounted
        self._began = 0  # where in `printed` this boot begins
        self.root: Root | None = None
        self.address = ""
        self.sshd = False
        self._filter: dict[str, list[str]] = {}  # rules, by chain

    def up(self, address: str, root: Root | None) -> None:
        self.address, self.root = address, root
        self._note("machine", "up", address=address)

    def stopped(self) -> None:
        """Nothing of what it was told outlives its power."""
        self.root, self.sshd, self.address, self._mac = None, False, "", self._own_mac
        self._filter.clear()
        self._began = len(self._printed)

    def run(self, words: Sequence[str], sender: str) -> Reply:
        """By its monitor, while it is up."""
        reply = self._act(acts.act_of(words))
        result = "ok" if reply.code == 0 else str(reply.code)
        self._note("monitor", words[0] if words else "", sender, words=list(words[1:]), result=result)
        return reply

    def _act(self, act: acts.Act) -> Reply:
        match act:
            case acts.Say(text):
                return Reply(out=text)
            case acts.Refuse(code, why):
                return Reply(code=code, err=f"{why}\n")
            case acts.Dmesg():
                return Reply(out="".join(self._printed[self._began :]).replace("\r\n", "\n"))
            case acts.ReadFile(path):
                found = self.root.files.get(path.lstrip("/")) if self.root is not None else None
                return Reply(out=found) if found is not None else Reply(code=1, err=f"{path}: not found\n")
            case acts.ShowNic():
                return Reply(out=f"{acts.NIC} {self._mac} {self.address}\n")
            case acts.SetMac(mac):
                self._mac = mac
            case acts.SetAddress(address, _):
                self.address = address
            case acts.StartSshd():
                # A second one ends by itself, and well; its program is in memory still.
                if not self.sshd and self._mounted() is None:
                    return Reply(code=1, err="its root doesn't answer\n")
                self.sshd = True
            case acts.FilterPackets(words):
                return Reply(out=self._filtered(*words))
        return Reply()

    def _filtered(self, what: str, *words: str) -> str:
        """The list of a chain, when that is asked. Who may reach the board is nothing that a story asks."""
        if what == "-F":
            self._filter.pop(words[0], None)
        elif what in ("-A", "-I"):
            self._filter.setdefault(words[0], []).append(" ".join(words[1:]))
        elif (what, words[0]) == ("-n", "-L"):
            rules = self._filter.get(words[1], [])
            return "\n".join((f"Chain {words[1]} (policy ACCEPT)", "target", *rules, ""))
        return ""
