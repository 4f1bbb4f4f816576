//! How folders that are held open behave, and what staging makes of them: one suite for the file system and for the tree in
//! memory.

use crate::kernels::whole;
use armfleet::boot::{Allowance, FileNote, GenerationId, Origin, PairNote, PairSource, Trials};
use armfleet::files::{Directory, LinkInTheWay, OpenFile, copy_hashed, digest};
use armfleet::staging::{Generations, Incoming, Rules, StageError};
use armfleet::values::Arch;
use rustix::fs::{FileType, RenameFlags};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};

/// Everything, in folders that are made in this one.
pub(crate) fn contract<D: Directory>(folder: &D) {
    type Check<D> = (&'static str, fn(D));
    let checks: [Check<D>; 8] = [
        ("folders", folders),
        ("names", names),
        ("files", files),
        ("links", links),
        ("renaming", renaming),
        ("removing", removing),
        ("staging", staging),
        ("refusals", refusals),
    ];
    for (name, check) in checks {
        println!("{name}");
        check(folder.sub_or_make(name, 0o755).unwrap());
    }
}

fn kind_of<T>(answer: io::Result<T>) -> ErrorKind {
    answer.map(drop).unwrap_err().kind()
}

fn write(folder: &impl Directory, name: &str, bytes: &[u8]) {
    folder.create(name).unwrap().write_all(bytes).unwrap();
}

fn text(folder: &impl Directory, name: &str) -> String {
    String::from_utf8(folder.read_own(name, 100).unwrap().bytes).unwrap()
}

fn folders<D: Directory>(folder: D) {
    assert_eq!(kind_of(folder.sub("a")), ErrorKind::NotFound);
    folder.sub_or_make("a", 0o711).unwrap();
    let inner = folder.sub_or_make("a", 0o711).unwrap();
    inner.sub_or_make("b", 0o700).unwrap();
    assert_eq!(
        folder.sub("a/b").unwrap().path(),
        folder.path().join("a/b").as_path()
    );
    write(&inner, "file", b"");
    assert_eq!(kind_of(folder.sub("a/file")), ErrorKind::NotADirectory);
    folder.link("a", "link").unwrap();
    for path in ["link", "link/b"] {
        let error = folder.sub(path).map(drop).unwrap_err();
        assert_eq!(LinkInTheWay::of(&error), Some(folder.at("link").as_path()));
    }
}

fn names<D: Directory>(folder: D) {
    assert_eq!(folder.names().unwrap(), Vec::<String>::new());
    folder.sub_or_make("c", 0o755).unwrap();
    write(&folder, "b", b"");
    folder.link("nowhere", "a").unwrap();
    assert_eq!(folder.names().unwrap(), ["a", "b", "c"]);
    let kinds = ["a", "b", "c", "d"].map(|name| folder.kind(name).unwrap());
    assert_eq!(
        kinds,
        [
            Some(FileType::Symlink),
            Some(FileType::RegularFile),
            Some(FileType::Directory),
            None
        ]
    );
}

fn files<D: Directory>(folder: D) {
    assert_eq!(kind_of(folder.open_file("a")), ErrorKind::NotFound);
    let mut file = folder.create("a").unwrap();
    assert_eq!(kind_of(folder.create("a")), ErrorKind::AlreadyExists);
    file.write_all(b"some").unwrap();
    file.write_all(b" bytes").unwrap();
    file.finish(None, 0o640).unwrap();
    let own = folder.read_own("a", 100).unwrap();
    assert_eq!(
        (own.bytes.as_slice(), own.mode & 0o777),
        (&b"some bytes"[..], 0o640)
    );
    // What is cut has one byte more than the limit.
    assert_eq!(folder.read_own("a", 3).unwrap().bytes, b"some");
    let (mut from, mut rest) = (folder.open_file("a").unwrap(), String::new());
    from.seek(SeekFrom::End(-5)).unwrap();
    from.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "bytes");
    from.rewind().unwrap();
    let before = from.identity().unwrap();
    assert_eq!(before.size, 10);
    let mut to = folder.create("b").unwrap();
    let copied = copy_hashed(&mut from, &before, &mut to, 10).unwrap();
    assert_eq!(copied, digest(&mut from).unwrap());
    assert_eq!(text(&folder, "b"), "some bytes");
    assert_ne!(to.identity().unwrap().ino, before.ino);
    folder.sub_or_make("folder", 0o755).unwrap();
    folder.link("a", "link").unwrap();
    for wrong in ["link", "folder"] {
        assert_ne!(kind_of(folder.open_file(wrong)), ErrorKind::NotFound);
        assert_eq!(kind_of(folder.create(wrong)), ErrorKind::AlreadyExists);
    }
}

fn links<D: Directory>(folder: D) {
    folder.link("g/one", "a").unwrap();
    assert_eq!(folder.read_link("a").unwrap(), b"g/one");
    assert_eq!(kind_of(folder.link("g/two", "a")), ErrorKind::AlreadyExists);
    write(&folder, "file", b"");
    assert_eq!(kind_of(folder.read_link("file")), ErrorKind::InvalidInput);
    assert_eq!(kind_of(folder.read_link("none")), ErrorKind::NotFound);
}

fn renaming<D: Directory>(folder: D) {
    let rename = |from, to, how| folder.rename(from, &folder, to, how);
    for name in ["a", "b"] {
        let inner = folder.sub_or_make(name, 0o755).unwrap();
        write(&inner, "file", name.as_bytes());
    }
    let missing = rename("none", "c", RenameFlags::empty());
    assert_eq!(kind_of(missing), ErrorKind::NotFound);
    let taken = rename("a", "b", RenameFlags::NOREPLACE);
    assert_eq!(kind_of(taken), ErrorKind::AlreadyExists);
    rename("a", "b", RenameFlags::EXCHANGE).unwrap();
    assert_eq!(text(&folder.sub("a").unwrap(), "file"), "b");
    assert_eq!(text(&folder.sub("b").unwrap(), "file"), "a");
    rename("b", "c", RenameFlags::NOREPLACE).unwrap();
    assert_eq!(folder.names().unwrap(), ["a", "c"]);
    folder.link("old", "current").unwrap();
    folder.link("new", ".link").unwrap();
    rename(".link", "current", RenameFlags::empty()).unwrap();
    assert_eq!(folder.read_link("current").unwrap(), b"new");
    assert_eq!(folder.names().unwrap(), ["a", "c", "current"]);
}

fn removing<D: Directory>(folder: D) {
    assert!(!folder.remove("a").unwrap());
    write(&folder, "a", b"");
    assert!(folder.remove("a").unwrap());
    let inner = folder.sub_or_make("b", 0o755).unwrap();
    assert!(folder.remove("b").is_err());
    for name in ["known", "other"] {
        write(&inner, name, b"");
    }
    assert_eq!(folder.remove_folder("b", &["known"]).unwrap(), ["other"]);
    assert_eq!(inner.names().unwrap(), ["other"]);
    let gone: Vec<String> = Vec::new();
    assert_eq!(folder.remove_folder("b", &["other"]).unwrap(), gone);
    assert_eq!(folder.remove_folder("b", &["other"]).unwrap(), gone);
    assert_eq!(folder.names().unwrap(), gone);
}

fn rules(allowance: &Allowance) -> Rules<'_> {
    Rules {
        arch: Arch::from_libvirt("armv7l").unwrap(),
        group: rustix::process::getegid().as_raw(),
        allowance,
    }
}

/// A pair of these bytes, as a guest has it in its share.
fn incoming<D: Directory>(folder: &D, kernel: &[u8], initrd: &[u8]) -> Incoming<D::File> {
    let file = |name: &str, bytes: &[u8]| {
        folder.remove(name).unwrap();
        write(folder, name, bytes);
        let file = folder.open_file(name).unwrap();
        let origin = Origin {
            name: name.to_owned(),
            link: None,
            file: file.identity().unwrap(),
        };
        (origin, file)
    };
    Incoming {
        source: PairSource::Newest,
        version: None,
        kernel: file("vmlinuz-6.1", kernel),
        initrd: file("initrd.img-6.1", initrd),
        expected: None,
    }
}

fn pair<D: Directory>(folder: &D, text: &str) -> Incoming<D::File> {
    incoming(folder, &whole("vmlinuz", text), &whole("initrd.img", text))
}

fn staging<D: Directory>(folder: D) {
    let boot = folder.sub_or_make("boot", 0o711).unwrap();
    let generations = Generations::open(folder.sub("boot").unwrap()).unwrap();
    assert!(generations.current().is_none() && !Generations::is_bootable(&boot, "armv7l"));
    let allowance = Allowance::without_clock();
    let stage = |text| {
        let rules = rules(&allowance);
        let staged = generations.stage(pair(&folder, text), rules, &Trials::default());
        staged.map(|staged| staged.id)
    };
    let [one, two] = ["one", "two"].map(|text| stage(text).unwrap());
    assert!(generations.current().is_none());
    generations.switch(&one).unwrap();
    generations.switch(&two).unwrap();
    assert!(Generations::is_bootable(&boot, "armv7l"));
    assert!(!Generations::is_bootable(&boot, "aarch64"));
    let named = |link| GenerationId::of_link(&boot.read_link(link).unwrap());
    assert_eq!(named("current"), Some(two.clone()));
    assert_eq!(named("previous"), Some(one.clone()));
    let staged = generations.current().unwrap();
    assert!(staged.id == two);
    generations.renew(&staged, 0).unwrap();
    // The same bytes again are the same generation.
    assert_eq!(stage("two").unwrap(), two);
    // What is damaged is known by its bytes, and made whole by staging it again.
    let inside = boot.sub("g").unwrap().sub(two.as_str()).unwrap();
    for (name, is_good) in [("vmlinuz", true), ("vmlinuz.master", false)] {
        inside.remove(name).unwrap();
        write(&inside, name, &whole("vmlinuz", "ten"));
        assert_eq!(generations.renew(&staged, 0).is_ok(), is_good, "{name}");
    }
    stage("two").unwrap();
    generations.renew(&staged, 0).unwrap();
    // What boots is another file each time, and has the bytes of its master.
    let inside = boot.sub("g").unwrap().sub(two.as_str()).unwrap();
    let ino = |name| inside.inode(name).unwrap().unwrap().ino;
    let (boots, master) = (ino("vmlinuz"), ino("vmlinuz.master"));
    generations.renew(&staged, 0).unwrap();
    assert_eq!(ino("vmlinuz.master"), master);
    assert!(![boots, master].contains(&ino("vmlinuz")));
    // Only what is not kept goes, and nothing of somebody else's.
    let all = boot.sub("g").unwrap();
    all.sub_or_make("somebodys", 0o755).unwrap();
    let stays = generations.tidy(std::slice::from_ref(&two)).unwrap();
    assert!(
        stays.len() == 1 && stays[0].contains("somebodys"),
        "{stays:?}"
    );
    assert_eq!(all.names().unwrap(), [two.as_str(), "somebodys"]);
}

fn refusals<D: Directory>(folder: D) {
    folder.sub_or_make("boot", 0o711).unwrap();
    let generations = Generations::open(folder.sub("boot").unwrap()).unwrap();
    let allowance = Allowance::without_clock();
    let stage = |pair| {
        generations
            .stage(pair, rules(&allowance), &Trials::default())
            .map(drop)
    };
    let (kernel, initrd) = (whole("vmlinuz", "one"), whole("initrd.img", "one"));
    let refused = stage(incoming(&folder, b"no kernel", &initrd));
    assert!(matches!(refused, Err(StageError::Kernel { .. })));
    let refused = stage(incoming(&folder, &kernel, &initrd[..initrd.len() - 200]));
    assert!(matches!(refused, Err(StageError::Initrd { .. })));
    let other_arch = Rules {
        arch: Arch::from_libvirt("aarch64").unwrap(),
        ..rules(&allowance)
    };
    let refused = generations.stage(pair(&folder, "one"), other_arch, &Trials::default());
    assert!(matches!(refused, Err(StageError::Kernel { .. })));
    let mut changed = pair(&folder, "one");
    changed.kernel.0.file.size += 1;
    assert!(matches!(stage(changed), Err(StageError::Changed(_))));
    let id = {
        let note = |bytes: &[u8]| {
            let sha256 = digest(io::Cursor::new(bytes)).unwrap();
            note_of(sha256, bytes.len() as u64)
        };
        PairNote {
            version: None,
            source: PairSource::Newest,
            kernel: note(&kernel),
            initrd: note(&initrd),
            kind: None,
        }
        .id()
    };
    let expecting = |expected| Incoming {
        expected: Some(expected),
        ..pair(&folder, "one")
    };
    stage(expecting(id)).unwrap();
    let other = GenerationId::try_from("0123456789abcdef".to_owned()).unwrap();
    assert!(matches!(
        stage(expecting(other)),
        Err(StageError::Unexpected)
    ));
}

fn note_of(sha256: armfleet::values::Sha256Sum, size: u64) -> FileNote {
    let file = armfleet::boot::Identity {
        dev: 0,
        ino: 0,
        size,
        mtime: armfleet::boot::Timestamp(0, 0),
        ctime: armfleet::boot::Timestamp(0, 0),
    };
    FileNote {
        from: Origin {
            name: String::new(),
            link: None,
            file,
        },
        size,
        sha256,
        settled: true,
    }
}
