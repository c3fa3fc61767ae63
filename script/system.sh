# shellcheck shell=bash
# What script/setup has to know of the system below: which one it is, what it lacks, how to add it.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
packages_file=$here/packages.txt
policy=/usr/sbin/policy-rc.d
policy_aside=$policy.before-setup

is_known_system() {
    [[ $(uname -m) == x86_64 && -r /etc/os-release ]] || return 1
    (
        # shellcheck source=/dev/null
        . /etc/os-release
        [[ $ID == debian && $VERSION_ID == 12 ]]
    )
}

packages() { # one "package<TAB>proof<TAB>reason" a line
    sed -nE 's/^([a-z0-9.+-]+) +(\/[^ ]+) +# (.*)$/\1\t\2\t\3/p' "$packages_file"
}

missing() { # the lines of those of whose file there is none
    local name proof reason
    while IFS=$'\t' read -r name proof reason; do
        compgen -G "$proof" > /dev/null || printf '%s\t%s\t%s\n' "$name" "$proof" "$reason"
    done < <(packages)
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    else
        sudo "$@"
    fi
}

# Goes on as root, by the same script: become_root WHY SCRIPT ARGUMENT...
become_root() {
    if ! command -v sudo > /dev/null; then
        echo "$(basename "$2"): $1, and there is no sudo here: run it as root" >&2
        exit 69 # EX_UNAVAILABLE of sysexits.h
    fi
    exec sudo "${@:2}"
}

enabled_units() {
    find /etc/systemd/system /etc/systemd/user -type l -path '*.wants/*' 2> /dev/null | sort
}

# Packages start their services when they are installed, and libvirt's brings up a bridge and rewrites
# the firewall. Until this ends, whatever asks for a start is told no (invoke-rc.d(8)), and what
# installation enabled for the next boot is disabled. docs/adr/0007-policy-rc-d.md tells why this way.
install_without_services() { # PACKAGE...
    local before
    restore_policy
    [[ -e $policy ]] && mv "$policy" "$policy_aside"
    printf '#!/bin/sh\n# Placed by script/setup while it installs packages.\nexit 101\n' > "$policy"
    chmod 755 "$policy"
    trap restore_policy EXIT

    before=$(enabled_units)
    no_database_cluster
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    install_packages "$@"
    comm -13 <(printf '%s\n' "$before") <(enabled_units) | while read -r link; do
        disable_if_ours "${link##*/}"
    done
    restore_policy
    trap - EXIT
}

# PostgreSQL's package makes a cluster when it is installed, and starts it at every boot, unless it is told
# not to before (pg_createcluster(1)). A configuration that is there already is somebody's decision.
no_database_cluster() {
    local settings=/etc/postgresql-common/createcluster.conf
    [[ -e $settings ]] && return
    mkdir -p "${settings%/*}"
    printf '# Placed by script/setup: tests run servers of their own.\ncreate_main_cluster = false\n' > "$settings"
}

disable_if_ours() { # UNIT
    local owner
    owner=$(dpkg-query --search "/lib/systemd/system/$1" 2> /dev/null | cut -d : -f 1) || return 0
    [[ $owner =~ ^(libvirt-.*|tgt|postgresql.*|nfs-.*|rpcbind|openssh-server)$ ]] || return 0 # a dependency's own affair
    echo "setup: leaves $1 disabled"
    # The helper serves maintainer scripts only, and remembers for upgrades that the unit is off.
    DPKG_MAINTSCRIPT_PACKAGE=$owner deb-systemd-helper disable "$1" > /dev/null
}

install_packages() { # PACKAGE...
    # confold: a configuration that we placed is kept without asking.
    local options=(--yes --quiet --no-install-recommends -o Dpkg::Options::=--force-confold)
    # Package lists may be missing, or name versions that the archive no longer has.
    apt-get "${options[@]}" install "$@" || { apt-get --quiet update && apt-get "${options[@]}" install "$@"; }
}

restore_policy() {
    if [[ -e $policy ]] && grep -q 'Placed by script/setup' "$policy"; then
        rm "$policy"
        [[ -e $policy_aside ]] && mv "$policy_aside" "$policy"
    fi
    return 0
}
