# Hands one node over to its own disk. Words between @ are filled in for each node.
echo
echo provisioner: node @NODE@ boots @WHAT@
setenv disks
for target in ${boot_targets}; do
    if test "${target}" != dhcp && test "${target}" != pxe; then
        setenv disks ${disks} ${target}
        run bootcmd_${target}
    fi
done
# Standard boot, which takes the place of those commands since 2023, is told its targets. Once: it may find us.
if test -z "${standard_boot}" && test -n "${disks}"; then
    setenv standard_boot tried
    setenv boot_targets ${disks}
    bootflow scan -b || bootflow scan
fi
echo provisioner: none of its disks boots, restarting
sleep 3
reset
