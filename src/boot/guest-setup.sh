#!/bin/sh
# Makes a Debian guest keep its kernels where its host looks for them. Run it as root in the guest; again does no harm.
#
#   guest-setup               sets the guest up, moves what is in /boot onto the share, and mounts that as /boot
#   guest-setup --installed   does the same at the end of an installation, and says so in the share
#
# Each act looks at what is there: cut short anywhere, it is completed by running it again. Its last line says what it did,
# or that nothing was to do.
# 9p is mounted as /boot after the root file system: the initramfs needs only what finds the root disk.
set -eu

tag=virtio-boot
options=trans=virtio,version=9p2000.L
share=/run/armfleet-boot
root=/run/armfleet-root
acts=

say() { echo "guest-setup: $*"; }
fail() { say "$*" >&2; exit 1; }
did() { acts="$acts${acts:+; }$*"; }

# Before anything is changed.
check_root() {
    [ "$(id -u)" = 0 ] || fail "run it as root"
    (: >/etc/armfleet-setup) 2>/dev/null ||
        fail "/etc cannot be written; make the root file system writable first: mount -o remount,rw /"
    rm -f /etc/armfleet-setup
}

# Puts standard input into a file, whole or not at all. One that is new gets the mode.
put() {
    [ ! -e "$1" ] || cp -p "$1" "$1.armfleet-new"
    cat >"$1.armfleet-new"
    if cmp -s "$1" "$1.armfleet-new"; then
        rm "$1.armfleet-new"
        return
    fi
    [ -e "$1" ] || chmod "$2" "$1.armfleet-new"
    mv "$1.armfleet-new" "$1"
    did "wrote $1"
}

# /boot is the share, mounted when something looks into it.
set_fstab() {
    touch /etc/fstab
    if grep -q "^$tag[[:space:]]\{1,\}/boot[[:space:]]" /etc/fstab; then return; fi
    if grep -q '^[^#[:space:]][^[:space:]]*[[:space:]]\{1,\}/boot[[:space:]]' /etc/fstab; then
        fail "/etc/fstab mounts something else as /boot; remove that line, leave what it mounts in place, and run this again"
    fi
    lines=$(cat /etc/fstab)
    put /etc/fstab 644 <<LINES
$lines
$tag /boot 9p $options,x-systemd.automount 0 0
LINES
}

# Without this Debian keeps the links vmlinuz and initrd.img in /, where the host does not see them.
set_kernel_links() {
    touch /etc/kernel-img.conf
    lines=$(sed -e '/^[[:space:]]*do_symlinks/d' -e '/^[[:space:]]*link_in_boot/d' -e '/^[[:space:]]*image_dest/d' \
        /etc/kernel-img.conf)
    put /etc/kernel-img.conf 644 <<LINES
$lines${lines:+
}do_symlinks = yes
link_in_boot = yes
LINES
}

# What finds the root disk on QEMU's virt machine.
set_initramfs_modules() {
    [ -d /etc/initramfs-tools ] || return 0
    touch /etc/initramfs-tools/modules
    lines=$(cat /etc/initramfs-tools/modules)
    for module in virtio_mmio virtio_pci virtio_blk; do
        if grep -q "^$module\$" /etc/initramfs-tools/modules; then continue; fi
        lines=$(printf '%s\n' "$lines" "$module" | sed '1{/^$/d;}')
    done
    put /etc/initramfs-tools/modules 644 <<LINES
$lines
LINES
}

# Tells the host that this kernel works, and at the end, whether the guest powers off or reboots.
set_units() {
    mkdir -p /usr/local/sbin /etc/systemd/system
    put /usr/local/sbin/armfleet-guest 755 <<'SCRIPT'
#!/bin/sh
# Run by armfleet-guest.service and armfleet-confirmed.service.
case $1 in
up) rm -f /boot/armfleet-stop ;;
confirm) echo "$(uname -r) $(cat /proc/sys/kernel/random/boot_id)" >/boot/armfleet-confirmed ;;
down)
    jobs=$(systemctl list-jobs 2>/dev/null)
    case $jobs in
    *poweroff.target*start* | *halt.target*start*) echo power-off >/boot/armfleet-stop ;;
    *reboot.target*start*) echo reboot >/boot/armfleet-stop ;;
    esac
    ;;
esac
SCRIPT
    put /etc/systemd/system/armfleet-guest.service 644 <<'UNIT'
[Unit]
Description=Tell the host whether this guest powers off or reboots
RequiresMountsFor=/boot

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/armfleet-guest up
ExecStop=/usr/local/sbin/armfleet-guest down

[Install]
WantedBy=multi-user.target
UNIT
    put /etc/systemd/system/armfleet-confirmed.service 644 <<UNIT
[Unit]
Description=Tell the host that this kernel works
RequiresMountsFor=/boot
$(after_checks)

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/armfleet-guest confirm

[Install]
WantedBy=multi-user.target
UNIT
    for unit in armfleet-guest.service armfleet-confirmed.service; do want "$unit"; done
    command -v systemctl >/dev/null ||
        say "there is no systemd here: have something run '/usr/local/sbin/armfleet-guest confirm' when the guest has come up" >&2
}

# A check that boot-complete.target requires keeps the host from taking this kernel for one that works.
after_checks() {
    if [ -e /lib/systemd/system/boot-complete.target ]; then
        echo "Requires=boot-complete.target"
        echo "After=multi-user.target boot-complete.target"
    else
        echo "After=multi-user.target"
    fi
}

want() {
    wants=/etc/systemd/system/multi-user.target.wants
    [ "$(readlink "$wants/$1")" != "../$1" ] || return 0
    mkdir -p "$wants"
    ln -sfn "../$1" "$wants/$1"
    did "enabled $1"
}

# Else mount says that systemd does not know what fstab says.
reload_systemd() {
    [ -d /run/systemd/system ] || return 0
    systemctl daemon-reload
}

# From now on, not only from the next boot.
start_units() {
    [ -d /run/systemd/system ] || return 0
    systemctl start --no-block armfleet-guest.service armfleet-confirmed.service
}

is_mounted() { grep -q " $1 " /proc/mounts; }
is_share() { grep -q "^$tag $1 9p " /proc/mounts; }

# An installer knows no 9p; the kernel that it has installed does, and is the same version more often than not.
mount_share() {
    mkdir -p "$1"
    modprobe -q 9pnet_virtio || true
    modprobe -q 9p || true
    mount -t 9p -o "$options" "$tag" "$1" ||
        fail "the boot share cannot be mounted (kernel $(uname -r)); is the VM's <filesystem> there, and mounted nowhere else?"
}

newest_version() { ls "$1" | sed -n 's/^vmlinuz-//p' | grep -v -e '\.old$' -e '\.dpkg-' | sort -V | tail -n 1; }

# What the links name is there.
has_pair() { [ -L "$1/vmlinuz" ] && [ -s "$1/vmlinuz" ] && [ -L "$1/initrd.img" ] && [ -s "$1/initrd.img" ]; }

# Copies what is in one folder into another: files first, since where the links are, what they name is whole.
copy_boot() {
    for file in "$1"/* "$1"/.[!.]*; do
        if [ -L "$file" ] || [ ! -e "$file" ] || [ "${file##*/}" = lost+found ]; then continue; fi
        cp -a "$file" "$2/" || fail "/boot is not on the share; has the host room for it?"
    done
    sync
    for link in "$1"/*; do
        if [ -L "$link" ]; then ln -sfn "$(readlink "$link")" "$2/${link##*/}"; fi
    done
}

# Where Debian kept the links in / they are made anew.
move_boot() {
    version=$(newest_version "$1")
    [ -n "$version" ] ||
        fail "there is no kernel in /boot; install linux-image-armmp (on arm64 linux-image-arm64), and run this again"
    for name in vmlinuz initrd.img; do
        [ -s "$1/$name-$version" ] || fail "/boot has no $name-$version; install that kernel anew, and run this again"
    done
    copy_boot "$1" "$2"
    for name in vmlinuz initrd.img; do
        [ -s "$2/$name" ] || ln -sfn "$name-$version" "$2/$name"
    done
    sync
    did "moved /boot onto the share, version $version"
}

# Written last: only now the host takes the pair for installed.
say_installed() {
    [ -n "$installed" ] || return 0
    newest_version "$1" >"$1/armfleet-installed.new"
    mv "$1/armfleet-installed.new" "$1/armfleet-installed"
    sync
}

# A share that has a pair is newer than what it hides.
set_boot() {
    # Looking into it mounts it, if it is the share already and systemd waits for that.
    ls /boot/. >/dev/null 2>&1 || true
    if is_share /boot; then
        has_pair /boot || move_what_is_beneath
        say_installed /boot
        return
    fi
    is_share "$share" || mount_share "$share"
    if [ -n "$installed" ] || ! has_pair "$share"; then move_boot /boot "$share"; fi
    say_installed "$share"
    umount "$share"
    [ -z "$installed" ] || return 0
    mount_share /boot
    did "mounted the share as /boot"
}

# What was in /boot before the share was mounted there.
move_what_is_beneath() {
    mkdir -p "$root"
    is_mounted "$root" || mount -o bind / "$root"
    move_boot "$root/boot" /boot
}

leave() {
    for place in "$share" "$root"; do
        if is_mounted "$place"; then umount "$place"; fi
    done
}

installed=
case ${1-} in
'') ;;
--installed) installed=yes ;;
*) fail "usage: guest-setup [--installed]" ;;
esac
check_root
trap leave EXIT
set_fstab
set_kernel_links
set_initramfs_modules
set_units
reload_systemd
set_boot
start_units
if [ -n "$acts" ]; then say "done: $acts"; else say "nothing to do: all is set up"; fi
