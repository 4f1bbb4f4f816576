#!/bin/sh
# armfleet's hook for libvirt. armfleet installs and updates this file; changes made here are lost.
#
# libvirt runs it for every domain and every operation, and kills a running VM whose hook fails on `reconnect`. So all
# but the start of a VM that armfleet keeps ends here with 0, decided by the shell alone. It prints nothing on standard
# output: libvirt would take that for a domain's XML.
LC_ALL=C
hook=/usr/bin/armfleet-hook
state=/var/lib/armfleet

case "$2 $3" in
'prepare begin' | 'restore begin' | 'migrate begin' | 'started begin' | 'stopped end') ;;
*) exit 0 ;;
esac
case $1 in
'' | null | [!A-Za-z0-9]* | *[!A-Za-z0-9._-]*) exit 0 ;;
esac
vm=$state/vms/$1

# False without a record; and in a user's own libvirtd, since the record is root's.
[ -O "$vm/record.json" ] || exit 0

# Nothing is written or removed through a link, nor into what would make libvirt wait, such as a FIFO.
is_no_link() { [ ! -L "$state/vms" ] && [ ! -L "$vm" ] && [ ! -L "$1" ]; }
may_write() { is_no_link "$1" && { [ -f "$1" ] || [ ! -e "$1" ]; }; }

# Whether the record names disks that the binary makes anew before each start.
has_scratch() {
    [ -f "$vm/record.json" ] || return 1
    while read -r line || [ -n "$line" ]; do
        case $line in
        *'"fresh":'*) return 0 ;;
        esac
    done 2>/dev/null <"$vm/record.json"
    return 1
}

# What follows is a `prepare` of a VM that has its kernel in memory already: nothing is to be staged for it.
case $2 in
restore | migrate)
    may_write "$vm/restoring" && true 2>/dev/null >"$vm/restoring" && exit 0
    has_scratch || exit 0
    # Unsaid, its memory would come back over disks that were made anew.
    echo "armfleet: $1 is not restored: $vm/restoring cannot be written. Free some room there, then try again." >&2
    exit 1
    ;;
esac

# How long a VM ran tells the next start whether its kernel works. An installer is left in place only until QEMU has
# loaded it: over the disk that it makes, nobody starts it again without being asked.
case $2 in
started | stopped)
    read -r up rest </proc/uptime
    may_write "$vm/$2" && echo "$up" 2>/dev/null >"$vm/$2"
    [ "$2" = started ] && [ -e "$vm/boot/current/installer" ] && is_no_link "$vm/boot" &&
        /bin/rm -f "$vm/boot/current"
    exit 0
    ;;
esac

# An installer is nothing to fall back on, nor is what a guest may have put into its share since it was checked.
falls_back=
[ -e "$vm/boot/current/installer" ] || [ -e "$vm/boot/linked" ] || falls_back=yes

# What booted was given to QEMU's user, which all VMs share and which may have written to it since: each start boots a fresh
# copy of the master, which is root's alone. The first version that staged had no masters.
renew() {
    is_no_link "$vm/boot" || return 1
    for file in vmlinuz initrd.img; do
        boots=$vm/boot/current/$file
        copy=$vm/boot/current/.$file.armfleet
        [ -f "$boots.master" ] || continue
        /bin/rm -f "$copy" && /bin/cp --reflink=auto "$boots.master" "$copy" && /bin/chmod 0640 "$copy" || return 1
        [ ! -e "$boots" ] || /bin/chgrp --reference="$boots" "$copy" || return 1
        /bin/mv -f "$copy" "$boots" || return 1
    done
}
not_renewed() {
    echo "armfleet: $1 does not start: no fresh copy of its kernel could be made. Free some room in $vm, then start the VM." >&2
    exit 1
}

# The package was removed: its VMs start with what they have.
if [ ! -e "$hook" ] && [ -n "$falls_back" ] && ! has_scratch; then
    renew || not_renewed "$1"
    exit 0
fi

# 40: done. 41: refused, and said why. All else means that it cannot run: an empty file would end with 0, and a shell
# would execute garbage that happens to be text, here without commands and in a folder where nothing can be written.
cd /proc || exit 0
PATH=/nonexistent "$hook" "$@" >/dev/null
case $? in
40) exit 0 ;;
41) exit 1 ;;
esac

# What the last start left on such a disk must not come back; but it goes with the memory of a VM that is restored.
if has_scratch; then
    if [ -f "$vm/restoring" ] && is_no_link "$vm/restoring" && [ -n "$falls_back" ]; then
        /bin/rm -f "$vm/restoring"
        exit 0
    fi
    echo "armfleet: $hook cannot run, which makes a disk of $1 anew before each start. Install armfleet again, then" \
        "start the VM. To start it with what is on that disk, move $vm/record.json away." >&2
    exit 1
fi

[ -z "$falls_back" ] || renew || not_renewed "$1"
if [ -f "$vm/boot/current/vmlinuz" ] && [ -f "$vm/boot/current/initrd.img" ] && [ -n "$falls_back" ]; then
    echo "armfleet: $hook cannot run; $1 starts with the kernel that was staged before. Install armfleet again." >&2
    exit 0
fi
why="no kernel is staged for $1"
[ ! -e "$vm/boot/linked" ] || why="nothing else can tell whether the kernel in the share of $1 is good"
echo "armfleet: $hook cannot run, and $why. Install armfleet again, then start the VM." >&2
exit 1
