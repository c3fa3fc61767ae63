"""Filters that EC2 knows and that mean nothing here, by operation."""

from __future__ import annotations

from collections.abc import Mapping

OTHERS: Mapping[str, frozenset[str]] = {
    operation: frozenset(names.split())
    for operation, names in {
        "DescribeAvailabilityZones": """
            group-long-name parent-zone-id parent-zone-name
        """,
        "DescribeImages": """
            boot-mode description ena-support free-tier-eligible image-allowed
            image-watermark.source-image-creation-time image-watermark.source-image-id
            image-watermark.source-image-region image-watermark.watermark-creation-time
            image-watermark.watermark-key instance-type-specification.supported-instance-type
            instance-type-specification.unsupported-instance-type public-ssm-parameter-name
            root-device-name scan-result.critical-fix-available-since
            scan-result.finding-scan-date scan-result.high-fix-available-since
            scan-result.highest-finding-severity-label
            scan-result.informational-fix-available-since scan-result.low-fix-available-since
            scan-result.medium-fix-available-since source-image-id source-image-region
            source-instance-id sriov-net-support
        """,
        "DescribeInstanceStatus": """
            application-status.status attached-ebs-status.status event.code event.description
            event.instance-event-id event.not-after event.not-before event.not-before-deadline
            operator.managed operator.principal
        """,
        "DescribeInstanceTypes": """
            ebs-info.attachment-limit-type
            ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps
            ebs-info.ebs-optimized-info.baseline-iops
            ebs-info.ebs-optimized-info.baseline-throughput-in-mbps
            ebs-info.ebs-optimized-info.maximum-bandwidth-in-mbps
            ebs-info.ebs-optimized-info.maximum-iops
            ebs-info.ebs-optimized-info.maximum-throughput-in-mbps
            ebs-info.ebs-optimized-support ebs-info.encryption-support
            ebs-info.maximum-ebs-attachments ebs-info.nvme-support
            instance-storage-info.disk.count instance-storage-info.disk.size-in-gb
            instance-storage-info.disk.type instance-storage-info.encryption-support
            instance-storage-info.nvme-support network-info.bandwidth-weightings
            network-info.efa-info.maximum-efa-interfaces network-info.efa-supported
            network-info.ena-support network-info.encryption-in-transit-supported
            network-info.flexible-ena-queues-support network-info.ipv4-addresses-per-interface
            network-info.ipv6-addresses-per-interface network-info.ipv6-supported
            network-info.maximum-network-cards network-info.maximum-network-interfaces
            network-info.network-performance nitro-enclaves-support
            nitro-tpm-info.supported-versions nitro-tpm-support
            processor-info.supported-features processor-info.sustained-clock-speed-in-ghz
            reboot-migration-support supported-boot-mode vcpu-info.default-cores
            vcpu-info.default-threads-per-core vcpu-info.valid-cores
            vcpu-info.valid-threads-per-core
        """,
        "DescribeInstances": """
            affinity boot-mode capacity-reservation-id
            capacity-reservation-specification.capacity-reservation-preference
            capacity-reservation-specification.capacity-reservation-target.capacity-reservation-id
            capacity-reservation-specification.capacity-reservation-target.capacity-reservation-resource-group-arn
            current-instance-boot-mode ena-support enclave-options.enabled
            hibernation-options.configured iam-instance-profile.arn iam-instance-profile.id
            ipv6-address maintenance-options.auto-recovery metadata-options.http-endpoint
            metadata-options.http-protocol-ipv4 metadata-options.http-protocol-ipv6
            metadata-options.http-put-response-hop-limit metadata-options.http-tokens
            metadata-options.instance-metadata-tags metadata-options.state
            network-interface.addresses.association.allocation-id
            network-interface.addresses.association.association-id
            network-interface.addresses.association.carrier-ip
            network-interface.addresses.association.customer-owned-ip
            network-interface.addresses.association.ip-owner-id
            network-interface.addresses.association.public-dns-name
            network-interface.addresses.association.public-ip
            network-interface.addresses.primary network-interface.addresses.private-dns-name
            network-interface.addresses.private-ip-address
            network-interface.association.allocation-id
            network-interface.association.association-id
            network-interface.association.carrier-ip
            network-interface.association.customer-owned-ip
            network-interface.association.ip-owner-id
            network-interface.association.public-dns-name
            network-interface.association.public-ip network-interface.attachment.attach-time
            network-interface.attachment.attachment-id
            network-interface.attachment.delete-on-termination
            network-interface.attachment.device-index network-interface.attachment.instance-id
            network-interface.attachment.instance-owner-id
            network-interface.attachment.network-card-index network-interface.attachment.status
            network-interface.availability-zone network-interface.deny-all-igw-traffic
            network-interface.description network-interface.group-id
            network-interface.group-name network-interface.ipv4-prefixes.ipv4-prefix
            network-interface.ipv6-address network-interface.ipv6-addresses.ipv6-address
            network-interface.ipv6-addresses.is-primary-ipv6 network-interface.ipv6-native
            network-interface.ipv6-prefixes.ipv6-prefix network-interface.mac-address
            network-interface.network-interface-id network-interface.operator.managed
            network-interface.operator.principal network-interface.outpost-arn
            network-interface.owner-id network-interface.private-dns-name
            network-interface.private-ip-address network-interface.public-dns-name
            network-interface.requester-id network-interface.requester-managed
            network-interface.source-dest-check network-interface.status
            network-interface.subnet-id network-interface.tag-key network-interface.tag-value
            network-interface.vpc-id network-performance-options.bandwidth-weighting
            operator.managed operator.principal outpost-arn placement-partition-number
            platform-details private-dns-name-options.enable-resource-name-dns-a-record
            private-dns-name-options.enable-resource-name-dns-aaaa-record
            private-dns-name-options.hostname-type requester-id root-device-name
            spot-instance-request-id subnet-id tpm-support usage-operation
            usage-operation-update-time vpc-id
        """,
    }.items()
}
