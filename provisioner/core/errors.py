"""The errors of the provisioner. The base class tells the caller what to do.

An error carries fields, so that a message, a log line, a timeline entry and a problem+json
body are all made from the same facts.
"""

from __future__ import annotations

from provisioner.core.readable import readable


class ProvisionerError(Exception):
    """Anything this program raises on purpose.

    tried:    what was attempted ("set power on")
    device:   on what ("BMC 10.78.0.101 of node n1"); empty when no device is involved
    answer:   what came back ("RMCP+ status 0x0d", "no answer in 10 s")
    advice:   what the operator should do next; empty when nothing helps but waiting
    code:     stable machine-readable name, used as the problem type
    """

    code = "error"

    def __init__(self, tried: str, *, device: str = "", answer: str = "", advice: str = "") -> None:
        self.tried = readable(tried)
        self.device = readable(device)
        self.answer = readable(answer)
        self.advice = readable(advice)
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """One sentence: tried, device, answer, advice; the parts that are known."""
        text = self.tried
        if self.device:
            text += f" on {self.device}"
        if self.answer:
            text += f": {self.answer}"
        if self.advice:
            text += f". {self.advice}"
        return text


class TransientError(ProvisionerError):
    """May pass by itself: retry, within a bound."""

    code = "transient"


class PermanentError(ProvisionerError):
    """Retrying changes nothing: fail with this cause."""

    code = "permanent"


class StateError(ProvisionerError):
    """Our view is stale: drop the work, touch nothing more, read again."""

    code = "stale"


class LeaseLost(StateError):
    """Another host owns, or may soon own, the node. Whoever catches this must not act on hardware."""

    code = "lease-lost"


class Defect(PermanentError):
    """An error of this program's own: it ends one thing that was asked for, and never the process."""

    code = "defect"

    @classmethod
    def of(cls, tried: str, device: str, error: Exception) -> Defect:
        return cls(
            tried,
            device=device,
            answer=f"{type(error).__name__}: {error}",
            advice="This is a defect of the provisioner: please report it, with the log",
        )


class NotFound(PermanentError):
    """The thing named doesn't exist."""

    code = "not-found"


class Forbidden(PermanentError):
    """Whoever asks has no right to it."""

    code = "forbidden"


class Conflict(PermanentError):
    """The thing is in a state that doesn't allow this; the message says which."""

    code = "conflict"


class BeingReceived(Conflict):
    """The image's bytes are on their way already: look again later, when they are here or given up."""


class ImagesAway(TransientError):
    """The file system of the images doesn't answer as it should: what can't be stored now can be later."""


class TooManyRequests(TransientError):
    """Of one user, more than are taken."""

    code = "too-many-requests"


class InvalidInput(PermanentError):
    """What the user gave can't be used; `field` is the path of the offending value."""

    code = "invalid-input"

    def __init__(self, tried: str, *, field: str = "", answer: str = "", advice: str = "") -> None:
        self.field = field
        super().__init__(tried, answer=answer, advice=advice)


class ImageTooLarge(InvalidInput):
    """The image can't fit the disk it is asked to be deployed to."""

    code = "image-too-large"


class DeviceUnreachable(TransientError):
    """No answer from a BMC, PDU or agent within its time."""

    code = "device-unreachable"


class DeviceBusy(TransientError):
    """The device answered that it can't do this now (IPMI 0xC0 and its kin)."""

    code = "device-busy"


class DeviceRefused(PermanentError):
    """The device understood and said no."""

    code = "device-refused"


class WrongCredentials(PermanentError):
    """The device answered, and didn't accept the user or the password."""

    code = "wrong-credentials"


class WriteFailed(TransientError):
    """The node's disk took no more of an image, for a reason that isn't the image's."""

    code = "write-failed"


class ImageInvalid(PermanentError):
    """The image's bytes are not what was promised, or can't be deployed."""

    code = "image-invalid"


class HostLacks(PermanentError):
    """This compute host has nothing to do it with: a program, a driver, a key, a ramdisk. Another may."""

    code = "host-lacks"


class StorageFull(TransientError):
    """The controller's own disk is full."""

    code = "storage-full"
