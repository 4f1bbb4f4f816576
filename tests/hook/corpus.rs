//! The corpus of hostile shares: for each what boots, what the hook says, how much of the share it reads, how long it takes, and
//! that it touches nothing but armfleet's own folders. One process runs all of them under strace.

use crate::world::{World, cpio, digest, initrd, set_mode, zimage};
use armfleet::boot::{INITRD_LIMIT, KERNEL_LIMIT};
use rustix::fs::{CWD, FileType, Mode};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const OLD: &str = "6.1.0-48-armmp";
const NEW: &str = "6.1.0-66-armmp";
const KERNEL: &str = "vmlinuz-6.1.0-66-armmp";
const INITRD: &str = "initrd.img-6.1.0-66-armmp";

/// Before and behind the work of the hook on a kind: a look at a path that is not there, which the trace shows.
const MARK: &str = "/armfleet-corpus";

const MOST_TIME: Duration = Duration::from_secs(10);
/// What is read of a share where it is not said otherwise.
const FEW_BYTES: u64 = 1 << 20;

/// A kind of share. Its links name a pair of version [`NEW`], of which something is wrong; [`OLD`] is staged and gone from it.
struct Kind {
    name: String,
    make: Box<dyn Fn(&World)>,
    /// The version that boots.
    boots: &'static str,
    /// A part of what is said about it.
    says: &'static str,
    /// The most bytes that are read of it.
    reads: u64,
}

impl Kind {
    fn new(
        name: impl Into<String>,
        boots: &'static str,
        says: &'static str,
        make: impl Fn(&World) + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            make: Box::new(make),
            boots,
            says,
            reads: FEW_BYTES,
        }
    }

    fn reading(self, reads: u64) -> Self {
        Self { reads, ..self }
    }

    /// A file of this name has these bytes.
    fn bytes(what: &str, name: &'static str, bytes: Vec<u8>, says: &'static str) -> Self {
        let reads = FEW_BYTES + 3 * bytes.len() as u64;
        let name_of_kind = format!("{name}: {what}");
        Self::new(name_of_kind, OLD, says, move |world| {
            fs::write(world.share(name), &bytes).unwrap();
        })
        .reading(reads)
    }
}

/// What may be in the place of a file or link.
type Thing = (&'static str, &'static str, fn(&World, &Path));

const HOST_LINK: &str = "is a symbolic link of the host";
const HOST_SPECIAL: &str = "is a FIFO, socket or device of the host";
const GUEST_SPECIAL: &str = "is a device, FIFO or socket of the guest";

const THINGS: [Thing; 12] = [
    ("a link to root's file", HOST_LINK, |world, path| {
        let secret = world.outside("secret");
        fs::write(&secret, zimage("secret")).unwrap();
        symlink(secret, path).unwrap();
    }),
    ("a link beside itself", HOST_LINK, |_, path| {
        symlink("config", path).unwrap();
    }),
    ("a link to nothing", HOST_LINK, |_, path| {
        symlink("/nowhere", path).unwrap();
    }),
    ("a link to the hook's memory", HOST_LINK, |_, path| {
        symlink("/proc/self/mem", path).unwrap();
    }),
    ("a folder", "is a folder", |_, path| {
        fs::create_dir(path).unwrap();
    }),
    ("a FIFO", HOST_SPECIAL, |_, path| {
        let mode = Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0).unwrap();
    }),
    ("a socket", HOST_SPECIAL, |_, path| {
        // A socket's address is short; it is bound where it fits, and moved.
        let short = tempfile::tempdir_in("/tmp").unwrap();
        let bound = short.path().join("s");
        drop(UnixListener::bind(&bound).unwrap());
        let moved = Command::new("mv").arg(&bound).arg(path).status().unwrap();
        assert!(moved.success());
    }),
    ("a FIFO of the guest", GUEST_SPECIAL, |_, path| {
        fs::write(path, zimage(NEW)).unwrap();
        set_mode(path, &[0xb6, 0x11, 0, 0]);
    }),
    ("a long attribute", GUEST_SPECIAL, |_, path| {
        fs::write(path, zimage(NEW)).unwrap();
        set_mode(path, &[0xff; 40]);
    }),
    ("an empty attribute", GUEST_SPECIAL, |_, path| {
        fs::write(path, zimage(NEW)).unwrap();
        set_mode(path, &[]);
    }),
    ("nothing", "not there", |_, _| {}),
    ("an empty file", "is empty", |_, path| {
        fs::write(path, "").unwrap();
    }),
];

fn in_place_of_files() -> impl Iterator<Item = Kind> {
    let names = [
        ("vmlinuz", NEW),
        ("initrd.img", NEW),
        (KERNEL, OLD),
        (INITRD, OLD),
    ];
    names.into_iter().flat_map(|(name, boots)| {
        THINGS.map(|(what, says, make)| {
            Kind::new(format!("{name}: {what}"), boots, says, move |world| {
                let path = world.share(name);
                fs::remove_file(&path).unwrap();
                make(world, &path);
            })
        })
    })
}

fn links() -> impl Iterator<Item = Kind> {
    let bad: [&[u8]; 16] = [
        b"",
        b"/etc/shadow",
        b"../secret",
        b"..",
        b".",
        b"/",
        b"boot/../../secret",
        b"/boot/../boot/x",
        b"/proc/self/root/etc/shadow",
        b"a\nb",
        b"a\0b",
        b"\x1b[2Jx",
        b"-a -- --target-directory=etc shadow",
        b"\xff\xfe",
        b"vmlinuz-6.1\n",
        &[b'v'; 5000],
    ];
    let bad = bad.map(|text| (text.to_vec(), "cannot be used: "));
    let others = [
        ("passwd", "is not a `"),
        ("vmlinuz-9", "vmlinuz-9`"),
        ("vmlinuz", "itself a link"),
    ];
    let others = others.map(|(text, says)| (text.as_bytes().to_vec(), says));
    let texts: Vec<_> = bad.into_iter().chain(others).collect();
    ["vmlinuz", "initrd.img"].into_iter().flat_map(move |link| {
        texts.clone().into_iter().map(move |(text, says)| {
            let shown = text[..text.len().min(40)].escape_ascii().to_string();
            // `initrd.img` leads over `vmlinuz` to a kernel.
            let says = match (link, says) {
                ("initrd.img", "itself a link") => "is not a `initrd.img-VERSION`",
                _ => says,
            };
            Kind::new(format!("{link} -> {shown}"), NEW, says, move |world| {
                fs::write(world.share("passwd"), "root").unwrap();
                world.link(link, &text);
            })
        })
    })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn kernels() -> impl Iterator<Item = Kind> {
    const NO_KERNEL: &str = "is not a kernel to boot";
    let mut arm64 = vec![0; 4096];
    arm64[0x38..0x3c].copy_from_slice(b"ARM\x64");
    let mut backwards = zimage(NEW);
    backwards[0x28..0x30].fill(0xff);
    let mut stub = vec![0; 4096];
    stub[..2].copy_from_slice(b"MZ");
    stub[0x3c] = 0x40;
    let mut far_stub = stub.clone();
    far_stub[0x3c..0x40].fill(0xff);
    let endless = [
        &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..],
        &[0, 0, 0, 0xff, 0xff].repeat(1 << 18),
    ];
    let bytes = [
        ("text", b"root:x:0:0".to_vec(), NO_KERNEL),
        ("one byte", vec![0], NO_KERNEL),
        ("zeros", vec![0; 1 << 20], NO_KERNEL),
        (
            "an ELF program",
            b"\x7fELF\x01\x01\x01".repeat(600),
            NO_KERNEL,
        ),
        ("a script", b"#!/bin/sh\nreboot\n".to_vec(), NO_KERNEL),
        ("arm64", arm64.clone(), "is a kernel for arm64"),
        ("arm64 in gzip", gzip(&arm64), "is a kernel for arm64"),
        ("half a zImage", zimage(NEW)[..10_000].to_vec(), NO_KERNEL),
        ("a zImage that ends before it begins", backwards, NO_KERNEL),
        ("zeros in gzip", gzip(&vec![0; 8 << 20]), NO_KERNEL),
        ("gzip of nothing, for ever", endless.concat(), NO_KERNEL),
        ("an EFI stub without a machine", stub, NO_KERNEL),
        ("an EFI stub that is elsewhere", far_stub, NO_KERNEL),
        ("a U-Boot image", b"\x27\x05\x19\x56".repeat(40), NO_KERNEL),
        ("an initrd", initrd(NEW), NO_KERNEL),
    ];
    let bytes = bytes.into_iter();
    let bytes = bytes.map(|(what, bytes, says)| Kind::bytes(what, KERNEL, bytes, says));
    bytes.chain([KERNEL_LIMIT + 1, 8 << 40].map(|size| sparse(KERNEL, size)))
}

fn sparse(name: &'static str, size: u64) -> Kind {
    let says = "bytes, more than the limit";
    Kind::new(
        format!("{name}: {size} bytes of zeros"),
        OLD,
        says,
        move |world| {
            let file = File::create(world.share(name)).unwrap();
            file.set_len(size).unwrap();
        },
    )
}

fn initrds() -> impl Iterator<Item = Kind> {
    const NO_INITRD: &str = "is not a whole initrd";
    let whole = cpio("init", b"");
    let header = |name: &str, at: usize, value: &[u8; 8]| {
        let mut cpio = cpio(name, b"");
        cpio[at..at + 8].copy_from_slice(value);
        cpio
    };
    let uboot = |kind: u8, size: u32| {
        let mut wrapped = [&b"\x27\x05\x19\x56"[..], &[0; 60], &whole].concat();
        wrapped[12..16].copy_from_slice(&size.to_be_bytes());
        wrapped[30] = kind;
        wrapped
    };
    let zeros = gzip(&vec![0; 4 << 20]);
    let bytes = [
        ("text", b"root:x:0:0".to_vec()),
        ("one byte", vec![b'0']),
        ("zeros", vec![0; 1 << 20]),
        ("garbage behind", [&whole[..], b"more"].concat()),
        ("a cpio that is cut", whole[..100].to_vec()),
        ("a cpio without a trailer", whole[..116].to_vec()),
        ("a cpio of the old format", b"070707".repeat(20)),
        ("a name of 4 GiB", header("init", 94, b"ffffffff")),
        ("a file of 4 GiB", header("init", 54, b"ffffffff")),
        ("a size that is no number", header("init", 54, b"-0000001")),
        ("gzip that is cut", gzip(&whole)[..20].to_vec()),
        ("gzip of text", gzip(b"root:x:0:0")),
        ("gzip's header", vec![0x1f, 0x8b, 8]),
        (
            "gzip of zeros, cut",
            [&zeros.repeat(3)[..], &zeros[..zeros.len() - 1]].concat(),
        ),
        ("zstd's magic", b"\x28\xb5\x2f\xfd".to_vec()),
        ("xz's magic", b"\xfd7zXZ\0".to_vec()),
        ("lz4's frames", b"\x04\x22\x4d\x18".repeat(8)),
        ("lz4's magic", b"\x02\x21\x4c\x18\xff\xff\xff\xff".to_vec()),
        (
            "lzma's header",
            b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        ),
        ("bzip2's magic", b"BZh9".to_vec()),
        ("lzop's magic", b"\x89LZO\0\r\n\x1a\n".to_vec()),
        ("a squashfs", b"hsqs".repeat(40)),
        ("a wrapped kernel", uboot(2, 116)),
        ("wrapped, and cut", uboot(3, u32::MAX)),
        ("wrapped, and more behind", uboot(3, 4)),
        ("a kernel", zimage(NEW)),
    ];
    let bytes = bytes.into_iter();
    let bytes = bytes.map(|(what, bytes)| Kind::bytes(what, INITRD, bytes, NO_INITRD));
    bytes.chain([INITRD_LIMIT + 1, 8 << 40].map(|size| sparse(INITRD, size)))
}

fn crowds() -> [Kind; 6] {
    let many = |names: fn(usize) -> Vec<u8>, count: usize| {
        move |world: &World| {
            for number in 0..count {
                let name = OsString::from_vec(names(number));
                File::create(world.share("").join(name)).unwrap();
            }
        }
    };
    let unlinked = |world: &World| fs::remove_file(world.share("vmlinuz")).unwrap();
    let too_many = many(|n| format!("{n}").into_bytes(), 4100);
    let no_text = many(
        |n| [format!("vmlinuz-{n}").as_bytes(), b"\xff"].concat(),
        200,
    );
    let no_initrds = many(|n| format!("vmlinuz-9.{n}").into_bytes(), 200);
    [
        Kind::new("names without end, and links", NEW, "", too_many),
        Kind::new(
            "names without end",
            OLD,
            "more than 4096 names",
            move |world| {
                too_many(world);
                unlinked(world);
            },
        ),
        Kind::new(
            "names that are no text",
            NEW,
            "`vmlinuz` is not there",
            move |world| {
                no_text(world);
                unlinked(world);
            },
        ),
        Kind::new(
            "kernels without initrds",
            NEW,
            "is not there",
            move |world| {
                no_initrds(world);
                unlinked(world);
            },
        ),
        Kind::new(
            "bad pairs that are newer",
            OLD,
            "one start tries at most 8 pairs",
            move |world| {
                for number in 0..40 {
                    world.install(&format!("9.{number}"));
                    fs::write(world.share(&format!("initrd.img-9.{number}")), "no").unwrap();
                }
                unlinked(world);
            },
        ),
        Kind::new(
            "initrds under three names",
            OLD,
            "nothing tells which of",
            move |world| {
                for name in ["initramfs-6.1.0-66-armmp", "initrd-6.1.0-66-armmp"] {
                    fs::copy(world.share(INITRD), world.share(name)).unwrap();
                }
                fs::remove_file(world.share(INITRD)).unwrap();
            },
        ),
    ]
}

fn corpus() -> Vec<Kind> {
    let files = in_place_of_files().chain(links());
    let bytes = kernels().chain(initrds());
    files.chain(bytes).chain(crowds()).collect()
}

/// A world whose hook has staged one version, and whose share names another.
fn world() -> World {
    let world = World::installed();
    world.start();
    for kind in ["vmlinuz", "initrd.img"] {
        fs::remove_file(world.share(&format!("{kind}-{OLD}"))).unwrap();
    }
    world.install(NEW);
    world.link_pair("", NEW);
    world
}

fn mark(what: &str) {
    assert!(fs::read_link(format!("{MARK}/{what}")).is_err());
}

/// What the traced process does. Each mark tells where the world is.
#[test]
#[ignore = "run by the test below"]
fn run_the_corpus() {
    let mut wrong = Vec::new();
    for (number, kind) in corpus().into_iter().enumerate() {
        let world = world();
        (kind.make)(&world);
        let before = world.share_state();
        mark(&format!("{number}{}", world.outside("").display()));
        let began = Instant::now();
        let outcome = world.prepare();
        let took = began.elapsed();
        mark("end");
        let note = world.assert_bootable();
        let booted = world.booted();
        let is_right = outcome.verdict == armfleet::hook::Verdict::Done
            && booted == kind.boots
            && outcome.text.contains(kind.says)
            && !outcome.text.chars().any(|c| c.is_control() && c != '\n')
            && note.kernel.sha256 == digest(&zimage(&booted))
            && note.initrd.sha256 == digest(&initrd(&booted))
            && world.share_state() == before
            && took < MOST_TIME;
        if !is_right {
            wrong.push(format!(
                "{}: {took:?}: boots {booted}: {}",
                kind.name, outcome.text
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The calls by which the hook could change something, or by which it reads.
const TRACED: &str = "trace=openat,openat2,read,pread64,readv,preadv,write,pwrite64,copy_file_range,sendfile,ftruncate,\
    fallocate,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,chmod,fchmod,\
    fchmodat,chown,fchown,fchownat,lchown,utimensat,setxattr,fsetxattr,lsetxattr,removexattr,mknodat,mount,execve,clone,\
    readlink,readlinkat";

#[test]
fn the_corpus_of_hostile_shares() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let log = folder.path().join("trace");
    let ran = Command::new("strace")
        .args([
            "-f",
            "-y",
            "--seccomp-bpf",
            "--quiet=all",
            "-e",
            TRACED,
            "-o",
        ])
        .arg(&log)
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "corpus::run_the_corpus",
            "--ignored",
            "--nocapture",
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    let trace = fs::read(log).unwrap();
    let trace = String::from_utf8_lossy(&trace);
    let kinds = corpus();
    assert!(kinds.len() >= 120, "{}", kinds.len());
    let traces = parts(&trace);
    assert_eq!(traces.len(), kinds.len());
    for (kind, Part { root, lines }) in kinds.iter().zip(traces) {
        let share = format!("{root}share");
        let mut reads: u64 = 0;
        for line in lines {
            let call = Call::read(line);
            if call.reads().is_some_and(|path| path.starts_with(&share)) {
                reads += call.result.parse().unwrap_or(0);
            }
            let own = [format!("{root}var/lib/armfleet"), format!("{root}run")];
            let is_own = |path: &str| own.iter().any(|own| path.starts_with(own));
            let is_right = call.changes().is_none_or(is_own);
            assert!(is_right, "{}: {line}", kind.name);
        }
        assert!(reads <= kind.reads, "{}: {reads} bytes", kind.name);
    }
}

/// What was traced of one kind.
struct Part<'a> {
    root: &'a str,
    lines: Vec<&'a str>,
}

fn parts(trace: &str) -> Vec<Part<'_>> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    let mut is_open = false;
    for line in trace.lines() {
        let marked = line.split_once(MARK).map(|(_, rest)| rest);
        let marked = marked.and_then(|rest| rest.trim_start_matches('/').split_once('"'));
        match marked {
            Some(("end", _)) => is_open = false,
            Some((text, _)) => {
                is_open = true;
                let root = &text[text.find('/').unwrap()..];
                let lines = Vec::new();
                parts.push(Part { root, lines });
            }
            None if is_open => parts.last_mut().unwrap().lines.push(line),
            None => {}
        }
    }
    parts
}

/// One call of the trace: `PID name(3</path>, "name", …) = result`.
struct Call<'a> {
    name: &'a str,
    arguments: &'a str,
    result: &'a str,
}

impl<'a> Call<'a> {
    fn read(line: &'a str) -> Self {
        let (_, call) = line.split_once(' ').unwrap();
        let (name, rest) = call.trim_start().split_once('(').unwrap_or((call, ""));
        let (arguments, result) = rest.rsplit_once(" = ").unwrap_or((rest, ""));
        Self {
            name,
            arguments,
            result,
        }
    }

    /// The first open file or absolute path that it names.
    fn first(&self) -> &'a str {
        let named = self.arguments.split_once('"').map(|(_, path)| path);
        let named = named.filter(|path| path.starts_with('/'));
        named.unwrap_or_else(|| self.nth(1))
    }

    fn nth(&self, number: usize) -> &'a str {
        self.arguments.split('<').nth(number).unwrap_or("")
    }

    /// What it reads the bytes of.
    fn reads(&self) -> Option<&'a str> {
        match self.name {
            "read" | "pread64" | "readv" | "preadv" | "copy_file_range" => Some(self.nth(1)),
            "sendfile" => Some(self.nth(2)),
            _ => None,
        }
    }

    /// What it may change.
    fn changes(&self) -> Option<&'a str> {
        match self.name {
            "read" | "pread64" | "readv" | "preadv" | "readlink" | "readlinkat" => None,
            "copy_file_range" => Some(self.nth(2)),
            "openat" | "openat2" => ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"]
                .iter()
                .any(|flag| self.arguments.contains(flag))
                .then(|| self.first()),
            _ => Some(self.first()),
        }
    }
}
