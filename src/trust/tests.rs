use super::*;
use proptest::prelude::*;
use std::cell::Cell;

/// Who QEMU is.
const QEMU: (u32, u32) = (2, 6);
/// A group that is root's equal.
const EQUALS: u32 = 7;
/// The others on the host, with their groups; user 3, of group 7, is root's equal and no one to fear.
const ACTORS: [(u32, &[u32]); 3] = [(1, &[5]), (2, &[6]), (4, &[])];
const NAMES: [&str; 3] = ["a", "b", "c"];

fn rules() -> Rules {
    Rules {
        qemu: Some(QEMU),
        equals: BTreeSet::from([EQUALS]),
        taken: BTreeSet::new(),
    }
}

/// What is at each path; the root is the empty one.
type Tree = BTreeMap<String, Stop>;

fn see(tree: &Tree, path: &str) -> Option<Stop> {
    tree.get(path.trim_end_matches('/')).cloned()
}

fn verdict(tree: &Tree, path: &str, end: End) -> Verdict<()> {
    judge(path, end, &rules(), |path| Ok(see(tree, path)))
}

/// The path that a path leads to, as the kernel finds it; none if nothing is there.
fn resolve(tree: &Tree, path: &str, end: End) -> Option<String> {
    let follows = matches!(end, End::Image | End::Roots);
    let (mut place, mut left, mut links) = (String::new(), path.to_owned(), 0);
    loop {
        let rest = left.trim_start_matches('/').to_owned();
        let (name, after) = rest.split_once('/').unwrap_or((&rest, ""));
        let is_last = after.trim_matches('/').is_empty();
        match name {
            "" => return Some(place),
            "." => {}
            ".." => {
                place = place
                    .rsplit_once('/')
                    .map_or("", |(above, _)| above)
                    .to_owned()
            }
            name => {
                let next = format!("{place}/{name}");
                match &tree.get(&next)?.kind {
                    StopKind::Link(_) if is_last && !follows => return Some(next),
                    StopKind::Link(target) => {
                        links += 1;
                        if links > LINK_LIMIT {
                            return None;
                        }
                        if target.starts_with('/') {
                            place.clear();
                        }
                        left = format!("{target}/{after}");
                        continue;
                    }
                    StopKind::Folder => place = next,
                    StopKind::Other if is_last => return Some(next),
                    StopKind::Other => return None,
                }
            }
        }
        left = after.to_owned();
    }
}

/// Whether an actor may put something else at a name in a folder, by the rules of Linux.
fn may_replace(actor: (u32, &[u32]), folder: &Stop, inside: Option<&Stop>) -> bool {
    let (uid, groups) = actor;
    // Its owner changes its mode first.
    let owns = folder.uid == uid;
    let in_list = |writer: &Writer| match writer {
        Writer::User(user) => *user == uid,
        Writer::Group(gid) => groups.contains(gid),
        Writer::Everyone => true,
    };
    let by_group = match &folder.acl {
        Some(list) => list.iter().any(in_list),
        None => folder.mode & 0o020 != 0 && groups.contains(&folder.gid),
    };
    let writes = owns || by_group || folder.mode & 0o002 != 0;
    let sticks = folder.mode & STICKY != 0 && !owns;
    writes && inside.is_none_or(|inside| !sticks || inside.uid == uid)
}

/// A tree after each single thing that an actor may do to it.
fn attacks(tree: &Tree) -> impl Iterator<Item = Tree> {
    let folders = tree
        .iter()
        .filter(|(_, stop)| stop.kind == StopKind::Folder);
    let names = folders.flat_map(|(path, stop)| NAMES.map(|name| (path, stop, name)));
    names.flat_map(move |(path, folder, name)| {
        let place = format!("{path}/{name}");
        let may = |actor: &(u32, &[u32])| may_replace(*actor, folder, tree.get(&place));
        ACTORS.iter().find(|actor| may(actor)).map(|(uid, _)| {
            let mut tree = tree.clone();
            tree.retain(|path, _| *path != place && !path.starts_with(&format!("{place}/")));
            let link = StopKind::Link("/evil".to_owned());
            tree.insert(place, stop(link, (*uid, *uid), 0o777));
            tree
        })
    })
}

fn stop(kind: StopKind, (uid, gid): (u32, u32), mode: u32) -> Stop {
    Stop {
        kind,
        uid,
        gid,
        mode,
        acl: None,
    }
}

fn stops(kind: impl Strategy<Value = StopKind>) -> impl Strategy<Value = Stop> {
    let uid = prop_oneof![12 => Just(0), 1 => Just(1), 1 => Just(2)];
    let gid = prop_oneof![6 => Just(0), 1 => Just(5), 1 => Just(6), 1 => Just(7)];
    let mode = prop_oneof![
        12 => Just(0o755), 2 => Just(0o775), 2 => Just(0o1777), 1 => Just(0o777), 1 => Just(0o700),
        1 => Just(0o1775)
    ];
    let writers = prop_oneof![
        Just(vec![]),
        Just(vec![Writer::User(1)]),
        Just(vec![Writer::Group(7), Writer::User(0)])
    ];
    let acl = prop_oneof![8 => Just(None), 1 => writers.prop_map(Some)];
    (kind, uid, gid, mode, acl).prop_map(|(kind, uid, gid, mode, acl)| Stop {
        acl,
        ..stop(kind, (uid, gid), mode)
    })
}

fn trees() -> impl Strategy<Value = Tree> {
    const TARGETS: [&str; 12] = [
        "/a",
        "/b",
        "a",
        "b",
        "../a",
        "/a/b",
        "/b/a",
        "..",
        "/a/..",
        "/a/b/..",
        "./c",
        "/c/b/../a",
    ];
    let link = proptest::sample::select(&TARGETS[..]);
    let kind = prop_oneof![
        7 => Just(StopKind::Folder),
        2 => link.prop_map(|target| StopKind::Link(target.to_owned())),
        1 => Just(StopKind::Other)
    ];
    let mut places = vec![String::new()];
    for depth in 0..3 {
        let above = places
            .iter()
            .filter(|path| path.matches('/').count() == depth);
        let below = above.flat_map(|path| NAMES.map(|name| format!("{path}/{name}")));
        let below: Vec<_> = below.collect();
        places.extend(below);
    }
    let stops =
        proptest::collection::vec(proptest::option::weighted(0.8, stops(kind)), places.len());
    stops.prop_map(move |stops| {
        let mut tree = Tree::from([(String::new(), stop(StopKind::Folder, (0, 0), 0o755))]);
        for (place, stop) in places.iter().zip(stops).skip(1) {
            let above = place.rsplit_once('/').map_or("", |(above, _)| above);
            let in_folder = tree
                .get(above)
                .is_some_and(|stop| stop.kind == StopKind::Folder);
            tree.extend(stop.filter(|_| in_folder).map(|stop| (place.clone(), stop)));
        }
        tree
    })
}

#[test]
fn nobody_but_root_changes_where_a_sound_path_leads() {
    let sound = Cell::new(0);
    let flawed = Cell::new(0);
    let config = ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let ends = prop_oneof![
        Just(End::Share),
        Just(End::Image),
        Just(End::Roots),
        Just(End::RootsOwn)
    ];
    let paths = proptest::sample::select(vec!["/a/b/c", "/a/b", "/a", "/b/a/c", "/c/b/a"]);
    proptest!(config, |(mut tree in trees(), path in paths, end in ends)| {
        match verdict(&tree, path, end) {
            Verdict::Sound(_) => sound.set(sound.get() + 1),
            _ => {
                flawed.set(flawed.get() + 1);
                return Ok(());
            }
        }
        let leads = resolve(&tree, path, end);
        for given in [false, true] {
            let gets = given && matches!(end, End::Share | End::Image);
            let place = leads.as_ref().filter(|place| gets && !place.is_empty());
            if let Some(stop) = place.and_then(|place| tree.get_mut(place)) {
                // No folder is an image.
                if end == End::Share || stop.kind == StopKind::Other {
                    stop.uid = QEMU.0;
                }
            }
            for attacked in attacks(&tree) {
                prop_assert_eq!(&resolve(&attacked, path, end), &leads);
            }
        }
    });
    assert!(
        sound.get() > 200 && flawed.get() > 200,
        "{sound:?} {flawed:?}"
    );
}

/// Folders of root's, and what differs: `PATH UID:GID MODE`, `PATH UID -> TARGET` or `PATH file`, with commas between.
fn with(changes: &str) -> Tree {
    let mut tree = Tree::from([(String::new(), folder(0, 0, 0o755))]);
    for change in changes.split(", ").filter(|change| !change.is_empty()) {
        let (path, what) = change.split_once(' ').unwrap();
        for (end, _) in path.match_indices('/').skip(1) {
            let above = tree.entry(path[..end].to_owned());
            above.or_insert_with(|| folder(0, 0, 0o755));
        }
        let stop = match (what.split_once(" -> "), what.split_once(' ')) {
            (Some((uid, target)), _) => {
                let uid = uid.parse().unwrap();
                stop(StopKind::Link(target.to_owned()), (uid, uid), 0o777)
            }
            (None, Some((owner, mode))) => {
                let (uid, gid) = owner.split_once(':').unwrap();
                let mode = u32::from_str_radix(mode, 8).unwrap();
                folder(uid.parse().unwrap(), gid.parse().unwrap(), mode)
            }
            (None, None) => stop(StopKind::Other, (0, 0), 0o600),
        };
        tree.insert(path.to_owned(), stop);
    }
    tree
}

fn folder(uid: u32, gid: u32, mode: u32) -> Stop {
    stop(StopKind::Folder, (uid, gid), mode)
}

fn told(tree: &Tree, path: &str, end: End) -> String {
    match verdict(tree, path, end) {
        Verdict::Sound(allowed) => {
            let allowed = allowed
                .iter()
                .map(|(folder, gid)| format!(", and group {gid} in {folder}"));
            format!("sound{}", allowed.collect::<String>())
        }
        Verdict::Flawed(flaws) => {
            let flaws = flaws.iter().map(|flaw| flaw.describe(Some(QEMU)));
            flaws.collect::<Vec<_>>().join("; ")
        }
        Verdict::Unseen(path, ()) => format!("{path} was not seen"),
    }
}

#[test]
fn a_flaw_names_the_folder_and_who_writes_there() {
    use End::{Image, Roots, Share};
    #[rustfmt::skip]
    let cases = [
        ("/srv/x file", "/srv/x", Image, "sound"),
        ("/home/me 1000:1000 755, /home/me/x file", "/home/me/x", Image, "user 1000 can replace what is in /home/me"),
        ("/srv 0:50 775", "/srv/x", Image, "group 50 can replace what is in /srv"),
        ("/srv 0:6 775", "/srv/x", Image, "QEMU's group (6) can replace what is in /srv"),
        ("/srv 0:6 777", "/srv/x", Image, "QEMU's group (6) and every user can replace what is in /srv"),
        ("/srv 0:7 2775", "/srv/x", Image, "sound, and group 7 in /srv"),
        ("/srv 0:0 775", "/srv/x", Image, "sound"),
        ("/srv/b 2:6 700", "/srv/b", Share, "sound"),
        ("/srv/b 2:6 700", "/srv/b/c", Share, "QEMU's user (2) can replace what is in /srv/b"),
        ("/tmp 0:0 1777, /tmp/b 0:0 755", "/tmp/b", Share, "QEMU's user (2) can replace what is in /tmp"),
        ("/tmp 0:0 1777, /tmp/b 0:0 755", "/tmp/b/c", Share, "sound"),
        ("/tmp 0:0 1777, /tmp/b 9:0 755", "/tmp/b", Roots, "user 9 can replace what is in /tmp"),
        ("/tmp 0:0 1777", "/tmp/b", Roots, "every user can replace what is in /tmp"),
        ("/tmp 0:0 1777, /tmp/l 0 -> /srv", "/tmp/l/b", Roots, "every user can replace what is in /tmp"),
        ("/srv 0 -> data, /data/x file", "/srv/x", Image, "sound"),
        ("/srv 1 -> data, /data/x file", "/srv/x", Image, "the symbolic link /srv belongs to user 1"),
        ("/srv/x 0 -> ../home/x, /home 5:5 755", "/srv/x", Image, "user 5 can replace what is in /home"),
        ("/srv/b 0 -> /data, /data 0:0 755", "/srv/b", Share, "/srv/b is a symbolic link"),
        ("/a 0 -> b, /b 0 -> a", "/a/x", Roots, "sound"),
        ("/a 0:0 755, /a/b 0 -> .., /c 0 -> a", "/c/b/a", Share, "QEMU's user (2) can replace what is in /a"),
        ("/var/lib/libvirt/qemu 2:6 750", "/var/lib/libvirt/qemu/x", Image, "sound"),
        ("/var/lib/libvirt/images/me 1:1 755", "/var/lib/libvirt/images/me/x", Image,
            "user 1 can replace what is in /var/lib/libvirt/images/me"),
        ("/dev/mapper 0:0 755, /dev/mapper/v 0 -> ../dm-0, /dev/dm-0 file", "/dev/mapper/v", Image, "sound"),
    ];
    for (changes, path, end, expected) in cases {
        assert_eq!(told(&with(changes), path, end), expected, "{changes}");
    }
}

#[test]
fn a_folder_that_is_taken_is_taken_with_all_below_it() {
    let tree = with(
        "/home/me 1000:1000 755, /home/me/vms 1000:1000 755, /home/me/vms/v2 1000:1000 755, \
         /home/me/vms/now 1000 -> v2, /home/me/vms/out 1000 -> /home/me",
    );
    let flaws = |path, taken: &[&str]| {
        let rules = Rules {
            taken: taken.iter().map(|path| (*path).to_owned()).collect(),
            ..rules()
        };
        match judge(path, End::Image, &rules, |path| {
            Ok::<_, ()>(see(&tree, path))
        }) {
            Verdict::Flawed(flaws) => flaws.into_iter().map(|flaw| flaw.folder).collect(),
            _ => Vec::new(),
        }
    };
    let image = "/home/me/vms/now/x.img";
    assert_eq!(
        flaws(image, &[]),
        ["/home/me", "/home/me/vms", "/home/me/vms/v2"]
    );
    assert_eq!(flaws(image, &["/home/me/vms"]), ["/home/me"]);
    assert!(flaws(image, &["/home/me"]).is_empty());
    assert!(flaws(image, &["/"]).is_empty());
    assert_eq!(flaws(image, &["/home/m"]).len(), 3);
    // Where a link leads is judged as any other place.
    assert_eq!(flaws("/home/me/vms/out/x", &["/home/me/vms"]), ["/home/me"]);
}

#[test]
fn what_cannot_be_seen_is_not_judged() {
    let tree = with("/srv 1000:1000 755, /srv/b 0:0 755, /data 0:0 755");
    let unseen = |path: &str| match path {
        "/srv/b/a" | "/data/a" => Err("no right"),
        path => Ok(see(&tree, path)),
    };
    let verdict = |path| judge(path, End::Roots, &rules(), unseen);
    let expected = Verdict::Unseen("/data/a".to_owned(), "no right");
    assert_eq!(verdict("/data/a/b"), expected);
    // What was wrong before is wrong in any case.
    assert!(matches!(verdict("/srv/b/a"), Verdict::Flawed(_)));
}
