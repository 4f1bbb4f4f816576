//! Lines as strace writes them.

use super::Trace;

#[track_caller]
fn assert_changes(trace: &str, paths: &[&str]) {
    let trace = Trace::parse(trace);
    let seen: Vec<_> = trace.changes().into_keys().collect();
    assert_eq!(seen, paths, "{trace:?}");
}

#[test]
fn every_way_to_name_what_changes_is_read() {
    for (call, paths) in [
        (
            r#"openat(AT_FDCWD</srv>, "a", O_RDONLY|O_CLOEXEC) = 3</srv/a>"#,
            &[][..],
        ),
        (
            r#"openat(AT_FDCWD</srv>, "a", O_RDWR|O_CLOEXEC) = 3</srv/a>"#,
            &["/srv/a"],
        ),
        (
            r#"openat(AT_FDCWD</srv>, "link", O_WRONLY) = 3</etc/passwd>"#,
            &["/etc/passwd"],
        ),
        (
            r#"openat(4</srv/x, (y) [z>, "a", O_WRONLY|O_CREAT, 0600) = -1 EEXIST (File exists)"#,
            &["/srv/x, (y) [z/a"],
        ),
        (
            r#"openat2(4</srv>, "a", {flags=O_WRONLY|O_CREAT, mode=0600, resolve=RESOLVE_BENEATH}, 24) = 5</srv/a>"#,
            &["/srv/a"],
        ),
        (
            r#"openat2(4</srv>, "a", {flags=O_RDONLY|O_PATH, resolve=RESOLVE_BENEATH}, 24) = 5</srv/a>"#,
            &[],
        ),
        (
            r#"open("/srv/a", O_RDONLY|O_TRUNC) = -1 EACCES (Permission denied)"#,
            &["/srv/a"],
        ),
        (r#"creat("/srv/a", 0600) = 3</srv/a>"#, &["/srv/a"]),
        (r#"fchown(3</srv/a (deleted)>, 0, 0) = 0"#, &["/srv/a"]),
        (r#"fchmod(3</srv/a>(deleted), 0600) = 0"#, &["/srv/a"]),
        (
            r#"openat(AT_FDCWD</>, "/srv", O_RDWR|O_TMPFILE, 0600) = 3</srv/#168 (deleted)>"#,
            &["/srv/#"],
        ),
        (
            r#"fchownat(3</srv/a>, "", 0, 0, AT_EMPTY_PATH) = 0"#,
            &["/srv/a"],
        ),
        (
            r#"utimensat(3</srv/a>, NULL, [UTIME_OMIT, UTIME_OMIT], 0) = 0"#,
            &["/srv/a"],
        ),
        (
            r#"lsetxattr("/srv/a", "user./etc", "/etc\"/b", 6, 0) = 0"#,
            &["/srv/a"],
        ),
        (r#"rename("/srv/a", "/srv/b") = 0"#, &["/srv/a", "/srv/b"]),
        (
            r#"renameat2(3</srv>, "a", 4</>, "b", RENAME_NOREPLACE) = 0"#,
            &["/b", "/srv/a"],
        ),
        (r#"linkat(3</srv>, "a", 4</etc>, "b", 0) = 0"#, &["/etc/b"]),
        (r#"symlinkat("/root", 4</srv>, "b") = 0"#, &["/srv/b"]),
        (r#"unlink("a") = 0"#, &["a"]),
        (r#"unlinkat(AT_FDCWD, "a", 0) = 0"#, &["?/a"]),
    ] {
        assert_changes(&format!("12  {call}"), paths);
        assert_changes(&format!("12345 {call}"), paths);
    }
}

#[test]
fn a_call_in_two_pieces_is_one() {
    assert_changes(
        "7 unlinkat(3</srv>, \"a\" <unfinished ...>\n\
         8 openat(AT_FDCWD</srv>, \"b\", O_WRONLY|O_CREAT, 0600 <unfinished ...>\n\
         7 <... unlinkat resumed>, 0) = 0\n\
         8 <... openat resumed>) = 3</etc/b>\n\
         8 mkdir(\"/srv/killed\" <unfinished ...>\n",
        &["/etc/b", "/srv/a", "/srv/killed"],
    );
}

#[test]
fn a_program_is_followed_from_its_beginning_into_its_children() {
    let trace = "\
1 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x7f) = 2
2 unlink(\"/before\") = 0
1 unlink(\"/parent\") = 0
2 execve(\"/hook\", [\"/hook\", \"vm\"], 0x5 /* 2 vars */ <unfinished ...>
2 <... execve resumed>) = 0
2 unlink(\"/own\") = 0
2 vfork( <unfinished ...>
3 execve(\"/bin/rm\", [\"rm\"], 0x5 /* 2 vars */) = 0
3 clone3({flags=CLONE_VM, exit_signal=0} => {parent_tid=[4]}, 88) = 4
4 unlink(\"/thread\") = 0
3 unlink(\"/child\") = 0
2 <... vfork resumed>) = 3
5 execve(\"/bin/other\", [\"/hook\"], 0x5 /* 2 vars */) = 0
5 unlink(\"/other\") = 0
";
    let of_hook = Trace::parse(trace).of("/hook");
    let seen: Vec<_> = of_hook.changes().into_keys().collect();
    assert_eq!(seen, ["/child", "/own", "/thread"]);
}
