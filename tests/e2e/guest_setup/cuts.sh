# cuts LINES WHEN…
#
# Runs /setup killed after each of its lines that match LINES, then whole, once for each WHEN: at once, or after a restart of
# the guest. Each time the guest and its share must be as after a run that was not killed. Its last line says how many it tried, and
# others that begin with "cuts: " which ended otherwise.
set -u
# Linux mounts a share in one place at a time.
options=trans=virtio,version=9p2000.L

forget_mounts() {
    for place in /run/armfleet-boot /run/armfleet-root /boot; do
        while grep -q " $place " /proc/mounts; do umount "$place"; done
    done
}

# A guest that was never set up, with a kernel in its own /boot.
reset() {
    forget_mounts
    mount -t 9p -o $options virtio-boot /boot
    rm -rf /boot/* /boot/.[!.]*
    umount /boot
    rm -rf /etc/* /usr/local /boot
    cp -a /tmp/etc/. /etc/
    mkdir -p /boot/lost+found /etc/initramfs-tools /usr/local
    for name in vmlinuz initrd.img; do
        echo "$name" >/boot/$name-1.0
        echo older >/boot/$name-0.9
        ln -s $name-1.0 /boot/$name
    done
    printf '/dev/vda1 / ext4 defaults 0 1' >/etc/fstab
    echo 'do_symlinks = no' >/etc/kernel-img.conf
}

restart() {
    forget_mounts
    if grep -q '^virtio-boot /boot' /etc/fstab; then mount -t 9p -o $options virtio-boot /boot; fi
}

# The share is /boot, and the guest's own is beneath.
state() {
    cd /
    find etc usr/local boot tmp/root/boot -type f | sort | xargs md5sum
    find etc usr/local boot tmp/root/boot -type l | sort | xargs ls -l | sed 's/.* \([^ ]* -> \)/\1/'
    grep -e ' /boot ' -e armfleet /proc/mounts
}

cut_at() {
    awk -v at="$1" '{ print } NR == at { print "kill -9 $$" }' /setup >/tmp/cut
}

# Not in the text of a file.
lines() {
    awk -v wanted="$1" '
        text != "" { if ($0 == text) { text = ""; print NR } next }
        match($0, /<<.?[A-Z]+/) { text = substr($0, RSTART, RLENGTH); gsub(/[^A-Z]/, "", text); next }
        $0 ~ wanted { print NR }' /setup
}

check() {
    tried=$((tried + 1))
    said=$(sh /setup 2>&1) || echo "cuts: line $1 $2: $said"
    case $said in *"guest-setup: done: "* | *"guest-setup: nothing to do: all is set up") ;; *) echo "cuts: line $1 $2: $said" ;; esac
    state >/tmp/state
    cmp -s /tmp/state /tmp/whole || { echo "cuts: line $1 $2:"; diff /tmp/whole /tmp/state; }
}

# Run again, it begins with the guest as it was before the first time.
if [ ! -d /tmp/root ]; then
    cp -a /etc /tmp/etc
    mkdir /tmp/root
    mount -o bind / /tmp/root
fi
tried=0
reset
sh /setup
state >/tmp/whole
again=$(sh /setup 2>/dev/null)
[ "$again" = "guest-setup: nothing to do: all is set up" ] || echo "cuts: again: $again"
lines=$(lines "$1")
shift
for line in $lines; do
    cut_at "$line"
    # Some are the middle of a command.
    sh -n /tmp/cut 2>/dev/null || continue
    for when in "$@"; do
        reset
        sh /tmp/cut >/dev/null 2>&1
        [ "$when" = at-once ] || restart
        check "$line" "$when"
    done
done
echo "cuts: $tried tried"
