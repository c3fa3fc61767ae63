#!/bin/sh
# First process of the deploy ramdisk. Says at the console, in plain words, how far the node has come.
export PATH=/usr/bin HOME=/ LC_ALL=C.UTF-8 PYTHONPATH=/agent PYTHONHOME=/usr TMPDIR=/tmp

mount -t devtmpfs -o nosuid dev /dev
exec </dev/console >/dev/console 2>&1
mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sys /sys
mkdir -p /run /tmp
echo 10 >/proc/sys/kernel/panic # restart 10 s after a panic: a node that hangs needs hands
echo 1 >/proc/sys/kernel/panic_on_oops

say() { echo "ramdisk: $*"; }

say "kernel $(uname -r) is up; loading drivers and starting the agent"

# The agent starts while drivers load and DHCP goes on: importing takes it as long.
while :; do
	python3 -S -s -c 'from provisioner.agent.__main__ import main; raise SystemExit(main())'
	say "the agent ended with status $?; starting it again in 2 s"
	sleep 2
done &

coldplug
say "drivers are loaded: $(ls /sys/class/net | grep -cv '^lo$') network ports," \
	"$(ls -d /sys/block/*/device 2>/dev/null | grep -c .) disks"
ip link set lo up
network

# Only if the network script gives up for good.
say "no network: the node restarts in 60 s"
sleep 60
reboot -f
