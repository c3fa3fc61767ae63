#!/bin/sh
# exportfs as far as it is used: its table lies in a file beside it, with lines as the real one (nfs-utils 2.6.2)
# prints them.
# `mode` makes it fail (does nothing), get lost (does nothing, ends never) or hang (does it, ends never) whenever an
# argument ends so.
here=$(dirname "$0")
table=$here/table
printf '%s\n' "$*" >> "$here/calls"
if [ "$1" = -i ]; then shift; fi # it has no /etc/exports
touch "$table"

if [ -e "$here/mode" ]; then read -r mode ending < "$here/mode"; fi
for last; do :; done
case "$last" in
    *"$ending") ;;
    *) mode= ;;
esac
[ "$mode" != lost ] || exec tail -f /dev/null
if [ "$mode" = fail ]; then
    echo 'exportfs: the kernel said no' >&2
    exit 1
fi

line() { # CLIENT:PATH
    printf '%s  %s(' "$(printf '%s' "${1#*:}" | sed 's/ /\\040/g')" "${1%%:*}"
}
forget() { # CLIENT:PATH
    grep -vF "$(line "$1")" "$table" > "$table.new" || :
    mv "$table.new" "$table"
}

case "$1" in
    -s) cat "$table" ;;
    -o)
        forget "$3"
        printf '%s%s)\n' "$(line "$3")" "$2" >> "$table"
        ;;
    -u)
        if ! grep -qF "$(line "$2")" "$table"; then
            echo "exportfs: Could not find '$2' to unexport." >&2
            exit 1
        fi
        forget "$2"
        ;;
    *) exit 64 ;;
esac
[ "$mode" != hang ] || exec tail -f /dev/null
