"""The config drive: cloud-init's NoCloud layout, on a file system labelled CIDATA.

Source: https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html
"""

from __future__ import annotations

import json

from provisioner.core.model import Instance


def files(instance: Instance, *, phone_home_url: str) -> dict[str, str]:
    """Name → content. JSON is YAML, and quotes every user's text safely.

    The phone-home order goes into vendor-data, which leaves user-data to the user: cloud-init merges
    the two, and the user's wins.
    """
    metadata: dict[str, object] = {"instance-id": instance.id, "local-hostname": instance.name}
    if instance.public_key:
        metadata["public-keys"] = [instance.public_key]
    vendor = {"phone_home": {"url": phone_home_url, "post": ["instance_id", "hostname"], "tries": 30}}
    return {
        "meta-data": json.dumps(metadata) + "\n",
        "user-data": instance.user_data or "#cloud-config\n{}\n",
        "vendor-data": "#cloud-config\n" + json.dumps(vendor) + "\n",
    }
