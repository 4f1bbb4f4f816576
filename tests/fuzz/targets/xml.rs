//! Edits of any XML: the first byte chooses the element, the second the edit. What comes out is XML that holds the edit, and
//! the bytes before and after the element are as they were.
#![no_main]

use armfleet::xml::{
    Part, insert, parse, read, remove, remove_attribute, set_attribute, set_text, write,
};

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
    let elements: Vec<_> = document
        .descendants()
        .filter(|node| node.is_element())
        .collect();
    let number = usize::from(*chosen) % elements.len();
    let element = elements[number];
    let is_root = element == document.root_element();
    let (edited, same_number) = match edit % 6 {
        0 => (set_text(text, element, VALUE), true),
        1 => (set_attribute(text, element, "value", VALUE), true),
        2 => (remove_attribute(text, element, "value"), true),
        3 => (insert(text, element, "<new/>"), true),
        4 => (
            write(text, element, &["one", "two"], Part::Text, VALUE),
            true,
        ),
        _ if is_root => return,
        _ => (remove(text, element), false),
    };
    let range = element.range();
    assert!(edited.starts_with(text[..range.start].trim_end()));
    assert!(edited.ends_with(&text[range.end..]));
    let after = parse(&edited).expect("an edit leaves XML");
    if !same_number {
        return;
    }
    let mut elements = after.descendants().filter(|node| node.is_element());
    let element = elements.nth(number).expect("the element is there");
    let written = |part| read(element, part);
    match edit % 6 {
        0 => assert_eq!(written(Part::Text).as_deref(), Some(VALUE)),
        1 => assert_eq!(written(Part::Attribute("value")).as_deref(), Some(VALUE)),
        2 => assert_eq!(written(Part::Attribute("value")), None),
        3 => assert!(element.children().any(|child| child.has_tag_name("new"))),
        _ => {}
    }
});
