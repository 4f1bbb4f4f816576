# try SETUP
#
# Sets up the Debian guest that it runs in: at the end of an installation, cut after each of several lines and run again, plain, and
# once more. Each line that begins with "try: " is one that is not as it should be; the last is "try: done, CUTS cuts".
set -u
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
setup=$1
work=/var/tmp/try

wrong() { echo "try: $*"; }

# What the script changes, as Debian left it.
keep() {
    mkdir -p $work
    tar -C / -cf $work/before.tar etc usr/local boot
}

unmount() {
    systemctl stop boot.automount boot.mount armfleet-guest.service armfleet-confirmed.service 2>/dev/null
    for place in /run/armfleet-boot /run/armfleet-root /boot; do
        while grep -q " $place " /proc/mounts; do umount "$place"; done
    done
}

reset() {
    unmount
    mount -t 9p -o trans=virtio,version=9p2000.L virtio-boot /mnt
    find /mnt -mindepth 1 -delete
    umount /mnt
    rm -rf /usr/local /boot/* /etc/fstab /etc/kernel-img.conf /etc/initramfs-tools /etc/systemd/system
    tar -C / -xf $work/before.tar
    systemctl daemon-reload
}

state() {
    (
        cd /
        find etc/fstab etc/kernel-img.conf etc/initramfs-tools etc/systemd/system usr/local boot -type f | sort | xargs md5sum
        find etc/systemd/system boot -type l | sort | xargs ls -l | sed 's/.* \([^ ]* -> \)/\1/'
        find . -xdev -name '*armfleet-new'
        grep -e ' /boot ' -e armfleet /proc/mounts
    ) 2>/dev/null | grep -v -e armfleet-confirmed$ -e armfleet-stop$
}

last_line() { printf '%s\n' "$1" | tail -n 1; }

# As the installer's in-target does it: a system that does not run, in which systemd is not.
install_in_target() {
    mkdir -p /target
    mount --bind / /target
    mount -t proc proc /target/proc
    mount --bind /dev /target/dev
    cp "$setup" /target/run/guest-setup
    chroot /target sh /run/guest-setup --installed
    code=$?
    rm /target/run/guest-setup
    umount /target/dev /target/proc /target
    return $code
}

check_installed() {
    for run in first second; do
        said=$(install_in_target 2>&1) || wrong "installed, $run: $said"
        case $said in *"in use"* | *modified*) wrong "installed, $run: $said" ;; esac
    done
    mount -t 9p -o trans=virtio,version=9p2000.L virtio-boot /mnt
    for name in armfleet-installed "vmlinuz-$version" "initrd.img-$version"; do
        [ -s "/mnt/$name" ] || wrong "the share has no $name after an installation"
    done
    [ "$(readlink /mnt/vmlinuz)" = "vmlinuz-$version" ] || wrong "the share has no link vmlinuz after an installation"
    umount /mnt
}

check_plain() {
    said=$(sh "$setup" 2>&1) || wrong "plain: $said"
    case $(last_line "$said") in "guest-setup: done: "*) ;; *) wrong "plain: $said" ;; esac
    case $said in *modified* | *"no systemd"*) wrong "plain: $said" ;; esac
    grep -q '^virtio-boot /boot 9p ' /proc/mounts || wrong "the share is not /boot"
    for unit in armfleet-guest.service armfleet-confirmed.service; do
        systemctl is-enabled --quiet $unit || wrong "$unit is not enabled"
    done
    systemctl start armfleet-guest.service || wrong "armfleet-guest.service does not start"
    [ "$(sh "$setup" 2>&1)" = "guest-setup: nothing to do: all is set up" ] || wrong "again: $(sh "$setup" 2>&1)"
}

# Those after which most has changed.
lines() {
    awk '
        text != "" { if ($0 == text) text = ""; next }
        match($0, /<<.?[A-Z]+/) { text = substr($0, RSTART, RLENGTH); gsub(/[^A-Z]/, "", text); next }
        /^ *(mv|cp -a|ln -sfn|if .* ln -sfn|umount|is_share .* mount_share|mount_share|set_[a-z_]+|reload_systemd) ?/ && !/\(\)/ { print NR }' "$setup"
}

check_cuts() {
    cuts=0
    for line in $(lines); do
        awk -v at="$line" '{ print } NR == at { print "kill -9 $$" }' "$setup" >$work/cut
        sh -n $work/cut 2>/dev/null || continue
        reset
        sh $work/cut >/dev/null 2>&1
        said=$(sh "$setup" 2>&1) || wrong "cut after line $line: $said"
        state >$work/state
        cmp -s $work/state $work/whole || wrong "cut after line $line: $(diff $work/whole $work/state)"
        cuts=$((cuts + 1))
    done
}

version=$(ls /boot | sed -n 's/^vmlinuz-//p')
keep
check_installed
reset
check_plain
state >$work/whole
check_cuts
echo "try: done, $cuts cuts"
