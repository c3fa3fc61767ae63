# Boots one node from TFTP. Words between @ are filled in for each node.
echo
echo provisioner: node @NODE@ boots @WHAT@
setenv bootargs @COMMAND_LINE@
# The board's description: what its vendor stored, else the one that U-Boot itself runs by.
if test -z "${fdt_addr}"; then setenv fdt_addr ${fdtcontroladdr}; fi
# So many blocks at once (RFC 7440), by U-Boot 2020.10 and later.
setenv tftpwindowsize 16
if @LOAD_KERNEL@; then
    setenv kernel_comp_size ${filesize}
    if tftpboot ${ramdisk_addr_r} ${serverip}:ramdisk; then
        setenv ramdisk_size ${filesize}
        # A gzipped kernel is unpacked behind the ramdisk, if nobody said where, or the ramdisk lies there.
        setexpr behind ${ramdisk_addr_r} + ${ramdisk_size}
        setexpr odd_bytes ${behind} % 0x200000
        setexpr behind ${behind} - ${odd_bytes}
        setexpr behind ${behind} + 0x200000
        if test -z "${kernel_comp_addr_r}"; then setenv kernel_comp_addr_r ${behind}; fi
        if itest ${kernel_comp_addr_r} -ge ${ramdisk_addr_r} && itest ${kernel_comp_addr_r} -lt ${behind}; then
            setenv kernel_comp_addr_r ${behind}
        fi
        echo provisioner: kernel and ramdisk are here, starting them
        @BOOT@ ${kernel_addr_r} ${ramdisk_addr_r}:${ramdisk_size} ${fdt_addr}
        # It comes back from what it can't start: a gzipped kernel, before U-Boot 2020.01.
        echo provisioner: it was not started, trying it unpacked
        if tftpboot ${kernel_addr_r} ${serverip}:kernel; then
            @BOOT@ ${kernel_addr_r} ${ramdisk_addr_r}:${ramdisk_size} ${fdt_addr}
        fi
    fi
fi
# What is offered may have changed meanwhile: begin anew.
echo provisioner: that failed, restarting
sleep 3
reset
