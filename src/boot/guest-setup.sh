#!/bin/sh
# Makes a Debian guest keep its kernels where its host looks for them. Run it as root in the guest; again does no harm.
#
#   guest-setup               sets the guest up, moves what is in /boot onto the share, and mounts that as /boot
#   guest-setup --installed   does the same at the end of an installation, and says so in the share
#
# It says what it has moved, and nothing where all was done before.
# 9p is mounted as /boot after the root file system: the initramfs needs only what finds the root disk.
set -eu

tag=virtio-boot
options=trans=virtio,version=9p2000.L
share=/run/armfleet-boot

say() { echo "guest-setup: $*"; }
fail() { say "$*" >&2; exit 1; }

# Before anything is changed.
check_root() {
    [ "$(id -u)" = 0 ] || fail "run it as root"
    (: >/etc/armfleet-setup) 2>/dev/null ||
        fail "/etc cannot be written; make the root file system writable first: mount -o remount,rw /"
    rm -f /etc/armfleet-setup
}

# /boot is the share, mounted when something looks into it.
set_fstab() {
    touch /etc/fstab
    grep -q "^${tag}[[:space:]]\{1,\}/boot[[:space:]]" /etc/fstab && return
    if grep -q '^[^#[:space:]][^[:space:]]*[[:space:]]\{1,\}/boot[[:space:]]' /etc/fstab; then
        fail "/etc/fstab mounts something else as /boot; remove that line, leave what it mounts in place, and run this again"
    fi
    echo "$tag /boot 9p $options,x-systemd.automount 0 0" >>/etc/fstab
}

# Without this Debian keeps the links vmlinuz and initrd.img in /, where the host does not see them.
set_kernel_links() {
    touch /etc/kernel-img.conf
    grep -v -e '^[[:space:]]*do_symlinks' -e '^[[:space:]]*link_in_boot' -e '^[[:space:]]*image_dest' \
        /etc/kernel-img.conf >/etc/kernel-img.conf.new || true
    printf 'do_symlinks = yes\nlink_in_boot = yes\n' >>/etc/kernel-img.conf.new
    mv /etc/kernel-img.conf.new /etc/kernel-img.conf
}

# What finds the root disk on QEMU's virt machine.
set_initramfs_modules() {
    [ -d /etc/initramfs-tools ] || return 0
    touch /etc/initramfs-tools/modules
    for module in virtio_mmio virtio_pci virtio_blk; do
        grep -q "^$module\$" /etc/initramfs-tools/modules || echo "$module" >>/etc/initramfs-tools/modules
    done
}

# Tells the host that this kernel works; and at the end, whether the guest powers off or reboots.
set_unit() {
    mkdir -p /usr/local/sbin /etc/systemd/system/multi-user.target.wants
    cat >/usr/local/sbin/armfleet-guest <<'SCRIPT'
#!/bin/sh
# Run by armfleet-guest.service.
boot_id=$(cat /proc/sys/kernel/random/boot_id)
case $1 in
up)
    rm -f /boot/armfleet-stop
    echo "$(uname -r) $boot_id" >/boot/armfleet-confirmed
    ;;
down)
    jobs=$(systemctl list-jobs 2>/dev/null)
    case $jobs in
    *poweroff.target*start* | *halt.target*start*) echo power-off >/boot/armfleet-stop ;;
    *reboot.target*start*) echo reboot >/boot/armfleet-stop ;;
    esac
    ;;
esac
SCRIPT
    chmod 755 /usr/local/sbin/armfleet-guest
    cat >/etc/systemd/system/armfleet-guest.service <<'UNIT'
[Unit]
Description=Tell the host that this kernel works
RequiresMountsFor=/boot
After=multi-user.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/armfleet-guest up
ExecStop=/usr/local/sbin/armfleet-guest down

[Install]
WantedBy=multi-user.target
UNIT
    ln -sf ../armfleet-guest.service /etc/systemd/system/multi-user.target.wants/armfleet-guest.service
    command -v systemctl >/dev/null ||
        say "there is no systemd here: have something run '/usr/local/sbin/armfleet-guest up' when the guest has come up" >&2
}

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

# Links stay links, and where Debian kept them in / they are made anew.
move_boot() {
    cp -a /boot/. "$share/"
    version=$(newest_version "$share")
    [ -n "$version" ] || fail "there is no kernel in /boot"
    for name in vmlinuz initrd.img; do
        [ -s "$share/$name-$version" ] || fail "/boot has no $name-$version"
        [ -L "$share/$name" ] || ln -s "$name-$version" "$share/$name"
    done
    sync
    say "what was in /boot is on the share: version $version"
}

# Written last: only now the host takes the pair for installed.
say_installed() {
    [ -n "$installed" ] || return 0
    newest_version "$1" >"$1/armfleet-installed"
    sync
}

set_boot() {
    # Looking into it mounts it, if it is the share already and systemd waits for that.
    ls /boot/. >/dev/null 2>&1 || true
    if is_share /boot; then
        say_installed /boot
        return
    fi
    is_share "$share" || mount_share "$share"
    # A share that has a pair is newer than what it hides.
    if [ -n "$installed" ] || ! has_pair "$share"; then move_boot; fi
    say_installed "$share"
    umount "$share"
    [ -n "$installed" ] || mount_share /boot
}

installed=
case ${1-} in
'') ;;
--installed) installed=yes ;;
*) fail "usage: guest-setup [--installed]" ;;
esac
check_root
set_fstab
set_kernel_links
set_initramfs_modules
set_unit
set_boot
