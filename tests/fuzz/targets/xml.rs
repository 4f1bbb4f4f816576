//! Edits of any XML: the first byte chooses the element, the second the edit. What comes out is XML that holds the edit, and
//! the bytes before and after the element are as they were.
#![no_main]

use armfleet::xml::{Element, Part, Tree, parse, read};

const VALUE: &str = "a<b>'\"&c";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [chosen, edit, text @ ..] = bytes else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let Ok(document) = parse(text) else {
        return;
    };
    assert_eq!(Tree::of(&document).to_string(), text);
    // The root, or one of its elements, whose siblings of the same name are not asked for.
    let root = document.root_element();
    let children = root.children().filter(|node| {
        node.is_element() && node.tag_name().namespace().is_none()
    });
    let elements: Vec<_> = std::iter::once(root).chain(children).collect();
    let element = elements[usize::from(*chosen) % elements.len()];
    let is_root = element == root;
    let name = element.tag_name().name();
    let path: &[&str] = if is_root { &[] } else { std::slice::from_ref(&name) };
    let mut tree = Tree::of(&document);
    let Some(edited) = tree.root().descend(path) else {
        return;
    };
    match edit % 6 {
        0 => edited.set_text(VALUE),
        1 => edited.set_attribute("value", VALUE),
        2 => edited.remove_attribute("value"),
        3 => edited.insert(Element::new("new")),
        4 => edited.write(&["one", "two"], Part::Text, VALUE),
        _ if is_root => return,
        _ => drop(tree.root().remove(|child| child.is(name))),
    }
    let edited = tree.to_string();
    let first = match is_root {
        true => root,
        false => armfleet::xml::child(root, name).expect("it was found"),
    };
    let range = first.range();
    assert!(edited.starts_with(text[..range.start].trim_end()));
    assert!(edited.ends_with(&text[range.end..]));
    let after = parse(&edited).expect("an edit leaves XML");
    let Some(element) = armfleet::xml::descend(after.root_element(), path) else {
        return assert_eq!(edit % 6, 5, "the element is there");
    };
    let written = |part| read(element, part);
    match edit % 6 {
        0 => assert_eq!(written(Part::Text).as_deref(), Some(VALUE)),
        1 => assert_eq!(written(Part::Attribute("value")).as_deref(), Some(VALUE)),
        2 => assert_eq!(written(Part::Attribute("value")), None),
        3 => assert!(element.children().any(|child| child.has_tag_name("new"))),
        _ => {}
    }
});
