"""The config drive: cloud-init's NoCloud layout, on a file system labelled CIDATA.

Source: https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html
"""

from __future__ import annotations

import json

from provisioner.core.metadata import EPHEMERAL_LABEL
from provisioner.core.model import Instance


def files(instance: Instance, *, phone_home_url: str) -> dict[str, str]:
    """Name → content. JSON is YAML, and quotes every user's text safely.

    What we order (to phone home, and to mount ephemeral storage where EC2's instances have it) goes into
    vendor-data, which leaves user-data to the user: cloud-init merges the two, and the user's wins.
    """
    metadata: dict[str, object] = {"instance-id": instance.id, "local-hostname": instance.name}
    if instance.public_key:
        metadata["public-keys"] = [instance.public_key]
    vendor: dict[str, object] = {
        "phone_home": {"url": phone_home_url, "post": ["instance_id", "hostname"], "tries": 30}
    }
    if instance.flavor.ephemeral_mib:
        # nofail: without it, a machine whose owner made something else of it wouldn't start.
        vendor["mounts"] = [[f"LABEL={EPHEMERAL_LABEL}", "/mnt", "ext4", "defaults,nofail", "0", "2"]]
    return {
        "meta-data": json.dumps(metadata) + "\n",
        "user-data": instance.user_data or "#cloud-config\n{}\n",
        "vendor-data": "#cloud-config\n" + json.dumps(vendor) + "\n",
    }
