//! Whether libvirt gives a file back that it took for QEMU (`qemu.conf`).

/// What libvirt's configuration says about the owners of files, and nothing else of it: it may hold passwords.
#[must_use]
pub fn about_owners(conf: &str) -> String {
    let about = |line: &&str| setting(line).is_some_and(|(key, _)| KEYS.contains(&key));
    let lines = conf.lines().filter(about);
    lines.map(|line| format!("{}\n", line.trim())).collect()
}

/// Whether libvirt keeps what it takes: it gives files to QEMU's user, and does not remember whose they were, so that they
/// become root's when the VM stops.
#[must_use]
pub fn keeps_what_it_takes(conf: &str) -> bool {
    let is_off = |key| {
        let mut settings = conf.lines().filter_map(setting);
        let last = settings.rfind(|(known, _)| *known == key);
        last.is_some_and(|(_, value)| value == "0")
    };
    is_off(REMEMBER) && !is_off(DYNAMIC)
}

const REMEMBER: &str = "remember_owner";
const DYNAMIC: &str = "dynamic_ownership";
const KEYS: [&str; 2] = [REMEMBER, DYNAMIC];

fn setting(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split('#').next()?.split_once('=')?;
    Some((key.trim(), value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libvirt_takes_it_keeps_only_where_it_is_told_so() {
        for (conf, keeps) in [
            ("", false),
            ("#remember_owner = 0\n", false),
            ("remember_owner = 1\n", false),
            ("remember_owner = 0\n", true),
            ("remember_owner=0 # why\n", true),
            ("remember_owner = 0\nremember_owner = 1\n", false),
            ("remember_owner = 0\ndynamic_ownership = 0\n", false),
            ("dynamic_ownership = 1\n remember_owner = 0\n", true),
        ] {
            assert_eq!(keeps_what_it_takes(conf), keeps, "{conf}");
            assert_eq!(keeps_what_it_takes(&about_owners(conf)), keeps, "{conf}");
        }
        let conf = "vnc_password = \"x\"\n  remember_owner = 0\n# remember_owner = 1";
        assert_eq!(about_owners(conf), "remember_owner = 0\n");
    }
}
