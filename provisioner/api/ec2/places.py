"""The region, which is the only one, and what an account has."""

from __future__ import annotations

from collections.abc import Mapping

from provisioner.api.ec2.call import Call, Members
from provisioner.api.ec2.errors import Ec2Error
from provisioner.api.ec2.filters import Filters
from provisioner.api.quotas import quota
from provisioner.protocols.store import Tx

_ATTRIBUTES: Mapping[str, str] = {
    # Without any is what clients take for an account of before 2013, with networks of another kind.
    "supported-platforms": "VPC",
    "default-vpc": "none",
    "max-instances": "1000",
    "max-elastic-ips": "0",
    "vpc-max-elastic-ips": "0",
}


def describe_regions(tx: Tx, call: Call) -> Members:
    region = {
        "RegionName": call.context.region,
        "Endpoint": call.authority,
        "OptInStatus": "opt-in-not-required",
    }
    wanted = Filters[Mapping[str, str]](
        call.given.get("Filters", ()),
        {
            "region-name": lambda one: [one["RegionName"]],
            "endpoint": lambda one: [one["Endpoint"]],
            "opt-in-status": lambda one: [one["OptInStatus"]],
        },
    )
    _check_named(call.given.get("RegionNames"), call.context.region, "region")
    return {"Regions": [region] if wanted(region) else []}


def describe_account_attributes(tx: Tx, call: Call) -> Members:
    most = quota(call.context, call.tenant)
    known = {**_ATTRIBUTES, **({"max-instances": str(most)} if most is not None else {})}
    names = call.given.get("AttributeNames") or list(known)
    for name in names:
        if name not in known:
            raise Ec2Error("InvalidParameterValue", f"Invalid attribute name: {name[:100]}")
    return {
        "AccountAttributes": [
            {"AttributeName": name, "AttributeValues": [{"AttributeValue": known[name]}]} for name in names
        ]
    }


def _check_named(names: list[str] | None, ours: str, what: str) -> None:
    for name in names or ():
        if name != ours:
            raise Ec2Error("InvalidParameterValue", f"Invalid {what}: [{name[:100]}]")
