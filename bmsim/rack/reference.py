"""What stands above the fields of a rack file in `docs/rack-file.md`."""

INTRODUCTION = """\
# The rack file

`bmsim rack up FILE` reads one: YAML, a rack in each. A mistake is told with file, line and field, and
nothing is brought up. `fixtures/racks/` has some; this is the smallest kind:

```yaml
name: first-light
networks:
  provisioning: {subnet: 10.77.0.0/24}
  management: {subnet: 10.78.0.0/24}
compute_hosts:
  - {name: ch1, provisioning_address: 10.77.0.10, management_address: 10.78.0.10}
nodes:
  - name: n1
    disks: [{size_mib: 2048}]
    nics: [{mac: "52:54:00:77:00:01"}]
    bmc: {address: 10.78.0.101, user: admin, password: correct-horse}
```

Names are of lower-case letters, digits and hyphens, 31 at most. No name, MAC address, address or outlet is
given twice. Passwords are made up, and `bmsim rack inventory` prints them. How a rack is used:
[bmsim](bmsim.md).

"""
