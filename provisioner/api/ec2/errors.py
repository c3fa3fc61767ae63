"""What EC2 clients are told when something doesn't work: EC2's own codes, made from our errors."""

from __future__ import annotations

from provisioner.core.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    ProvisionerError,
    StateError,
    StorageFull,
    TransientError,
)


class Ec2Error(Exception):
    """An error as clients know it. Codes: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


_CODES = (
    (Forbidden, "UnauthorizedOperation", 403),
    (NotFound, "InvalidParameterValue", 400),
    (InvalidInput, "InvalidParameterValue", 400),
    (Conflict, "IncorrectState", 400),
    (StateError, "IncorrectState", 400),
    (StorageFull, "InternalError", 500),
    (TransientError, "Unavailable", 503),
)
"""First match counts. Handlers say themselves what is more particular."""


def of_error(error: ProvisionerError) -> Ec2Error:
    for kind, code, status in _CODES:
        if isinstance(error, kind):
            return Ec2Error(code, error.message, status)
    return Ec2Error("InternalError", error.message, 500)


class LookAgain(Ec2Error):
    """What was seen before a transaction was too little for it. Told when it happens over and over."""

    def __init__(self) -> None:
        super().__init__("Unavailable", "Others ask for the same nodes: try again.", 503)


DRY_RUN = "DryRunOperation"


def dry_run() -> Ec2Error:
    return Ec2Error(DRY_RUN, "Request would have succeeded, but DryRun flag is set.", 412)


def too_many() -> Ec2Error:
    """Clients try again by themselves, later each time."""
    return Ec2Error("RequestLimitExceeded", "Request limit exceeded.", 503)


def unsupported(what: str) -> Ec2Error:
    return Ec2Error("UnsupportedOperation", f"{what} is not supported here.")


def unknown_id(kind: str, id: str) -> Ec2Error:
    """kind: as in the code, such as InstanceID. The same for another tenant's as for nobody's."""
    what = {"InstanceID": "instance", "AMIID": "image", "KeyPair": "key pair"}.get(kind, kind)
    return Ec2Error(f"Invalid{kind}.NotFound", f"The {what} ID '{id}' does not exist")


def malformed_id(kind: str, id: str) -> Ec2Error:
    return Ec2Error(f"Invalid{kind}.Malformed", f'Invalid id: "{id}"')


def bad_value(parameter: str, why: str) -> Ec2Error:
    """why: not the value itself, which may be anything of any length."""
    return Ec2Error("InvalidParameterValue", f"Invalid value for {parameter}: {why}")


def missing(parameter: str) -> Ec2Error:
    return Ec2Error("MissingParameter", f"The request must contain the parameter {parameter}")
