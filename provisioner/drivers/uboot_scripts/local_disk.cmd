# Hands one node over to its own disk. Words between @ are filled in for each node.
echo
echo provisioner: node @NODE@ boots @WHAT@
for target in ${boot_targets}; do
    if test "${target}" != dhcp && test "${target}" != pxe; then run bootcmd_${target}; fi
done
echo provisioner: none of its disks boots, restarting
sleep 3
reset
