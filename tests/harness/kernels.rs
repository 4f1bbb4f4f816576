//! The smallest kernels and initrds that the hook takes for whole, told apart by a text in them.

use armfleet::boot::{AddedFile, appended_files};

/// What a seed or a guest has for this name of a file: an initrd for `initrd.img…`, else a kernel.
pub(crate) fn whole(name: &str, text: &str) -> Vec<u8> {
    if name.starts_with("initrd") {
        initrd(text)
    } else if name.ends_with("arm64") {
        image(text, 0xa)
    } else if name.ends_with("arm64-16k") {
        image(text, 0xc)
    } else {
        zimage(text)
    }
}

/// A zImage: its magic number, start and end (`arch/arm/boot/compressed/head.S`), and the text.
fn zimage(text: &str) -> Vec<u8> {
    const SIZE: usize = 256;
    let header: [u32; 3] = [0x016f_2818, 0, 256];
    let mut image = vec![b'Z'; 0x24];
    image.extend(header.into_iter().flat_map(u32::to_le_bytes));
    image.extend(text.bytes());
    image.resize(SIZE, b'.');
    image
}

/// An arm64 Image: its magic number, the flags with the size of its pages (`Documentation/arch/arm64/booting.rst`), and the text.
fn image(text: &str, flags: u8) -> Vec<u8> {
    let mut image = vec![b'I'; 0x38];
    image[24..28].copy_from_slice(&[flags, 0, 0, 0]);
    image.extend(b"ARM\x64");
    image.extend(text.bytes());
    image
}

/// A cpio archive with the text in it.
fn initrd(text: &str) -> Vec<u8> {
    let file = AddedFile {
        path: "/text".parse().unwrap(),
        mode: 0o644,
        bytes: text.as_bytes().to_vec(),
    };
    appended_files(0, &[file])
}
