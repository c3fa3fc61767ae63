#!/early/busybox sh
# shellcheck shell=dash
# First process of the deploy ramdisk. Says at the console, in plain words, how far the node has come.
export PATH=/usr/bin HOME=/ LC_ALL=C.UTF-8 PYTHONPATH=/usr/lib/provisioner PYTHONHOME=/usr TMPDIR=/tmp

bb=/early/busybox # by name its applets are found only when /proc is mounted
$bb mount -t proc -o nosuid,nodev,noexec proc /proc
$bb mount -t devtmpfs -o nosuid dev /dev
# Tried first, by a line: a command line may name a serial port that isn't there. Some of those can't be opened,
# and an `exec` that fails ends this shell, a panic; others take no word, and the agent would end at its first.
for terminal in /dev/console /dev/tty0 /dev/null; do
	echo "ramdisk: its first program runs" 2>/dev/null >$terminal && break
done
exec <$terminal >$terminal 2>&1
$bb mount -t sysfs -o nosuid,nodev,noexec sys /sys
echo 10 >/proc/sys/kernel/panic # restart 10 s after a panic: a node that hangs needs hands
echo 1 >/proc/sys/kernel/panic_on_oops

say() { echo "ramdisk: $*"; }

for module in /early/*.ko; do $bb insmod "$module"; done
if ! $bb mount -t squashfs -o loop,ro /usr.squashfs /usr; then
	say "the ramdisk is damaged: it can't be mounted. The node restarts in 10 s"
	$bb sleep 10
	$bb reboot -f
fi

say "kernel $(uname -r) is up; loading drivers and starting the agent"

AGENT='
from provisioner.agent.emulation import prefer_plain_code_if_emulated
prefer_plain_code_if_emulated()
from provisioner.agent.__main__ import main
raise SystemExit(main())
'

# The agent starts, and the boot port asks for its address, while other drivers load.
while :; do
	setsid python3 -S -s -c "$AGENT" &
	pid=$!
	wait $pid
	say "the agent ended with status $?; starting it again in 2 s"
	kill -9 -$pid 2>/dev/null # nothing that it started goes on
	sleep 2
done &
ip link set lo up
network &
coldplug
: >/run/drivers-loaded # the agent waits for this
count() { if [ -e "$1" ]; then echo $#; else echo 0; fi; }
say "drivers are loaded: $(count /sys/class/net/*/device) network ports, $(count /sys/block/*/device) disks"
while :; do wait; sleep 1; done
