"""Changes a boot share as QEMU's user, in every way that one can, until a line comes in; then says so and waits for another.

Each file holds cells of its version and a counter that only grows. Writing goes from page to page, so that in every state in
which a file ever was, its pages are of one counter, or the first of them of the next one.
"""

import ctypes
import mmap
import os
import random
import select
import struct
import sys

SHARE, OUTSIDE, USER, SEED = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
PAGE, PAGES = 4096, 16
VERSIONS = ["6.1.0-48-armmp", "6.1.0-50-armmp"]
KINDS = ["vmlinuz", "initrd.img"]
AT_FDCWD, RENAME_EXCHANGE = -100, 2

os.setgroups([])
os.setgid(USER)
os.setuid(USER)
os.chdir(SHARE)
os.umask(0o077)
random.seed(SEED)
libc = ctypes.CDLL(None, use_errno=True)
counters, mappings = {}, {}


def page(version, counter):
    cell = b"%-16s%-15d\n" % (version.encode(), counter)
    return cell * (PAGE // len(cell))


def whole(kind, version, counter):
    body = bytearray(page(version, counter) * PAGES)
    if kind == "vmlinuz":
        struct.pack_into("<III", body, 0x24, 0x016F2818, 0, len(body))
        return bytes(body)
    return cpio("body", bytes(body)) + cpio("TRAILER!!!", b"")


def cpio(name, content):
    fields = [0, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
    entry = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    entry += b"\0" * (-len(entry) % 4) + content
    return entry + b"\0" * (-len(entry) % 4)


def rewritten(name):
    kind, version = name.split("-", 1)
    counters[name] += 1
    return whole(kind, version, counters[name])


def pieces(new):
    return range(0, len(new), PAGE)


def map_and_write(name):
    key = os.stat(name).st_ino
    if key not in mappings:
        if len(mappings) > 16:
            mappings.clear()
        with open(name, "r+b") as file:
            mappings[key] = mmap.mmap(file.fileno(), 0)
    new = rewritten(name)
    for at in pieces(new):
        mappings[key][at : at + PAGE] = new[at : at + PAGE]


def write(name):
    new = rewritten(name)
    seen = os.stat(name)
    file = os.open(name, os.O_WRONLY)
    for at in pieces(new):
        os.pwrite(file, new[at : at + PAGE], at)
    os.close(file)
    if random.random() < 0.5:
        os.utime(name, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def replace(name):
    with open("new", "wb") as file:
        file.write(rewritten(name))
    os.rename("new", name)


def exchange_links(_):
    version = random.choice(VERSIONS)
    for kind in KINDS:
        with open("new", "w") as file:
            file.write(f"{kind}-{version}")
        os.setxattr("new", "user.virtfs.mode", b"\xff\xa1\0\0")
        os.rename("new", kind)


def exchanged(name, put, take):
    put("other")
    libc.renameat2(AT_FDCWD, name.encode(), AT_FDCWD, b"other", RENAME_EXCHANGE)
    libc.renameat2(AT_FDCWD, name.encode(), AT_FDCWD, b"other", RENAME_EXCHANGE)
    take("other")


def for_link(name):
    target = random.choice(["secret", "folder", "vmlinuz-6.1.0-48-armmp"])
    exchanged(name, lambda other: os.symlink(f"{OUTSIDE}/{target}", other), os.unlink)


def for_folder(name):
    exchanged(name, os.mkdir, os.rmdir)


def for_fifo(name):
    exchanged(name, os.mkfifo, os.unlink)


def for_hard_link(name):
    def put(other):
        try:
            os.link(f"{OUTSIDE}/secret", other)
        except OSError:
            os.link(name, other)

    exchanged(name, put, os.unlink)


def share_for_link(_):
    """Where its folder is root's, the share itself stays."""
    try:
        os.rename(SHARE, f"{SHARE}.aside")
        os.symlink(OUTSIDE, SHARE)
    except OSError:
        pass


ACTS = [map_and_write, write, replace, exchange_links, for_link, for_folder, for_fifo, for_hard_link, share_for_link]

for version in VERSIONS:
    for kind in KINDS:
        counters[f"{kind}-{version}"] = 0
        replace(f"{kind}-{version}")
exchange_links(None)
print("ready", flush=True)
acts = 0
while sys.stdin.readline():
    while not select.select([sys.stdin], [], [], 0)[0]:
        random.choice(ACTS)(random.choice(list(counters)))
        acts += 1
    sys.stdin.readline()
    print(acts, flush=True)
