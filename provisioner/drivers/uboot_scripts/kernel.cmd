# Boots one node from TFTP. Words between @ are filled in for each node.
echo
echo provisioner: node @NODE@ boots @WHAT@
setenv bootargs '@COMMAND_LINE@'
# The board's description: what its vendor stored, else the one that U-Boot itself runs by.
if test -z "${fdt_addr}"; then setenv fdt_addr ${fdtcontroladdr}; fi
# So many blocks at once (RFC 7440), by U-Boot 2020.10 and later.
setenv tftpwindowsize 16
if tftpboot ${kernel_addr_r} ${serverip}:kernel && tftpboot ${ramdisk_addr_r} ${serverip}:ramdisk; then
    echo provisioner: kernel and ramdisk are here, starting them
    @BOOT@ ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt_addr}
fi
# What is offered may have changed meanwhile: begin anew.
echo provisioner: that failed, restarting
sleep 3
reset
