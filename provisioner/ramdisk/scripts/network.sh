#!/bin/sh
# Brings up the port that the node booted from, or else every port with a link, by DHCP.
say() { echo "ramdisk: $*"; }

ports() { for path in /sys/class/net/*; do [ "${path##*/}" = lo ] || echo "${path##*/}"; done; }

# BOOTIF=01-52-54-00-77-00-01 on the kernel's command line: the MAC address, behind the hardware type.
wanted=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^BOOTIF=\(..-\)\{0,1\}\(..-..-..-..-..-..\)$/\2/p' | tr '[A-F]-' '[a-f]:')

port_of() {
	for port in $(ports); do
		[ "$(cat "/sys/class/net/$port/address")" = "$1" ] && echo "$port" && return
	done
}

link() { [ "$(cat "/sys/class/net/$1/carrier" 2>/dev/null)" = 1 ]; }

lease() { # port: asks until there is an answer, then keeps the lease
	say "asking for an address by DHCP at $1"
	udhcpc -f -i "$1" -V provisioner-ramdisk -s /usr/bin/lease -t 8 -T 1 -A 1 -O staticroutes >/dev/null
}

waited=0
while :; do
	for port in $(ports); do ip link set "$port" up 2>/dev/null; done
	if [ -n "$wanted" ]; then
		port=$(port_of "$wanted")
		[ -n "$port" ] && link "$port" && break
		[ $((waited % 50)) = 25 ] && say "still waiting for ${port:-a port with the address $wanted}${port:+ to have a link}"
		[ $waited -ge 300 ] && say "giving up on BOOTIF $wanted: any port with a link will do" && wanted=
	else
		port=
		for one in $(ports); do link "$one" && port="$port $one"; done
		[ -n "$port" ] && break
		[ $((waited % 50)) = 25 ] && say "no port has a link: $(ports | tr '\n' ' ')"
	fi
	waited=$((waited + 1))
	[ $((waited % 20)) = 0 ] && coldplug # a port may be late
	sleep 0.1
done

# shellcheck disable=SC2086 # one word for each port
set -- $port
while [ $# -gt 1 ]; do
	lease "$1" &
	shift
done
while :; do
	lease "$1"
	sleep 1
done
