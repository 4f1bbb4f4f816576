//! The files and folders that a domain uses, by its definition and by what its process was started with.

use super::raw::RawDomain;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The elements that name one, and the attributes in which they do.
const NAMED: [(&str, &[&str]); 2] = [
    ("source", &["file", "dir", "dev", "path"]),
    ("log", &["file"]),
];
/// The elements whose text is one.
const TEXTS: [&str; 5] = ["kernel", "initrd", "dtb", "loader", "nvram"];
/// Terminals, which are no files.
const DEVICES: &str = "/dev/";

/// What a domain uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uses<'d> {
    /// Every path, each once. Volumes of pools have no path here until the domain runs.
    pub claims: BTreeSet<Cow<'d, str>>,
    /// Of these paths those that the domain only reads, below an image of its own.
    pub bases: BTreeSet<Cow<'d, str>>,
}

impl<'d> Uses<'d> {
    /// What a domain uses, by both of its definitions.
    #[must_use]
    pub fn of(domain: &'d RawDomain) -> Self {
        let mut uses = Self {
            claims: BTreeSet::new(),
            bases: BTreeSet::new(),
        };
        let mut others = BTreeSet::new();
        for (path, is_below) in texts(domain).flat_map(|text| uses_in(text)) {
            match is_below {
                true => uses.bases.insert(path.clone()),
                false => others.insert(path.clone()),
            };
            uses.claims.insert(path);
        }
        uses.bases.retain(|path| !others.contains(path));
        uses
    }
}

fn texts(domain: &RawDomain) -> impl Iterator<Item = &String> {
    let live = domain.live.present();
    let live = live.filter(|live| domain.inactive.present() != Some(live));
    domain.inactive.present().into_iter().chain(live)
}

/// Each path, and whether it is one below an image. libvirt writes each definition in one form, which is read here without a tree: the live ones would double what is
/// parsed of a host with many domains.
fn uses_in(definition: &str) -> Vec<(Cow<'_, str>, bool)> {
    let mut claims = Vec::new();
    let mut chain = 0_usize;
    let mut in_metadata = false;
    for element in definition.split('<').skip(1) {
        let (tag, text) = element.split_once('>').unwrap_or((element, ""));
        let name = tag.split([' ', '\n', '/']).next().unwrap_or_default();
        match tag {
            "metadata" => in_metadata = true,
            "/metadata" => in_metadata = false,
            _ => {}
        }
        if in_metadata {
            continue;
        }
        match name {
            "backingStore" if !tag.ends_with('/') => chain += 1,
            "" if tag == "/backingStore" => chain = chain.saturating_sub(1),
            _ => {}
        }
        let is_below = chain > 0;
        if TEXTS.contains(&name) {
            claims.push((text, is_below));
        }
        // A socket, which QEMU makes.
        let is_socket = attribute(tag, "mode").is_some();
        let named = NAMED.iter().filter(|(element, _)| *element == name);
        let attributes = named.flat_map(|(_, attributes)| *attributes);
        let values = attributes.filter_map(|attribute_name| {
            let value = attribute(tag, attribute_name)?;
            let is_terminal = *attribute_name == "path" && value.starts_with(DEVICES);
            (!is_terminal && !is_socket).then_some((value, is_below))
        });
        claims.extend(values);
    }
    claims.retain(|(path, _)| path.starts_with('/') && path.len() > 1);
    let claims = claims.into_iter();
    claims
        .map(|(path, is_below)| (unescaped(path), is_below))
        .collect()
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = tag;
    loop {
        let (before, after) = rest.split_once('=')?;
        let quote = after.chars().next()?;
        let (value, next) = after.get(1..)?.split_once(quote)?;
        if before.rsplit(char::is_whitespace).next() == Some(name) {
            return Some(value);
        }
        rest = next;
    }
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return text.into();
    }
    let escapes = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
    ];
    let text = escapes.iter().fold(text.to_owned(), |text, (escape, is)| {
        text.replace(escape, is)
    });
    text.replace("&amp;", "&").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFINITION: &str = "<domain type='kvm'>
  <metadata><x:vm xmlns:x='urn:x'><source file='/not/this'/></x:vm></metadata>
  <os>
    <loader readonly='yes' type='pflash'>/usr/share/AAVMF/AAVMF_CODE.fd</loader>
    <nvram template='/usr/share/t.fd'>/var/lib/libvirt/qemu/nvram/o_VARS.fd</nvram>
    <kernel>/k/vmlinuz &amp; more</kernel>
    <initrd>/k/initrd.img</initrd>
    <dtb>/k/a.dtb</dtb>
    <cmdline>root=/dev/vda</cmdline>
  </os>
  <devices>
    <emulator>/usr/bin/qemu-system-aarch64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='/srv/top.qcow2' index='2'/>
      <backingStore type='file'><format type='raw'/><source file=\"/srv/base.img\"/></backingStore>
      <mirror type='file' job='copy'><source file='/srv/copy.img'/></mirror>
    </disk>
    <disk type='block' device='disk'><source dev='/dev/vg/root'/></disk>
    <filesystem type='mount'><source dir='/srv/share'/></filesystem>
    <interface type='direct'><source dev='eth0' mode='bridge'/></interface>
    <serial type='pty'><source path='/dev/pts/3'/><log file='/var/log/o.log' append='on'/></serial>
    <serial type='file'><source path='/var/log/second.log' append='on'/></serial>
    <channel type='unix'><source mode='bind' path='/run/libvirt/o.agent'/></channel>
  </devices>
</domain>";

    fn claims_in(definition: &str) -> Vec<Cow<'_, str>> {
        let uses = uses_in(definition).into_iter();
        uses.map(|(path, _)| path).collect()
    }

    #[test]
    fn every_file_and_folder_of_a_domain_is_found_once() {
        let found: Vec<_> = claims_in(DEFINITION);
        assert_eq!(
            found,
            [
                "/usr/share/AAVMF/AAVMF_CODE.fd",
                "/var/lib/libvirt/qemu/nvram/o_VARS.fd",
                "/k/vmlinuz & more",
                "/k/initrd.img",
                "/k/a.dtb",
                "/srv/top.qcow2",
                "/srv/base.img",
                "/srv/copy.img",
                "/dev/vg/root",
                "/srv/share",
                "/var/log/o.log",
                "/var/log/second.log",
            ]
        );
    }

    #[test]
    fn text_that_is_no_xml_has_none() {
        for text in [
            "",
            "<",
            "<source",
            "<source file",
            "<source file=",
            "<source file='/x",
            "<source file=é>",
        ] {
            assert_eq!(claims_in(text), [""; 0], "{text}");
        }
        // What libvirt would not write this way is read as XML is.
        let tree = crate::xml::parse(DEFINITION).unwrap();
        let sources = super::super::sources_in(&tree);
        let found = claims_in(DEFINITION);
        let missed = sources
            .iter()
            .filter(|path| !found.iter().any(|claim| claim == *path));
        let missed: Vec<_> = missed.collect();
        assert_eq!(missed, ["/not/this", "eth0"]);
    }
}
