#!/bin/sh
# shellcheck disable=SC2154 # udhcpc hands over what it learned in the environment
# What udhcpc calls when a lease begins, is renewed or ends.
case $1 in
deconfig)
	ip addr flush dev "$interface"
	;;
bound | renew)
	ip addr replace "$ip/${mask:-24}" dev "$interface"
	[ -n "$router" ] && ip route replace default via "${router%% *}" dev "$interface"
	: >/etc/resolv.conf
	for server in $dns; do echo "nameserver $server" >>/etc/resolv.conf; done
	[ "$1" = bound ] && echo "ramdisk: $interface has the address $ip, from ${serverid:-a DHCP server}" >/dev/console
	;;
esac
exit 0
