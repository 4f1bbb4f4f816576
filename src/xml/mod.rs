//! XML as text with a tree over it: edits splice bytes and leave every other byte as it was.
//!
//! Reading is `roxmltree`'s. Each edit takes the text and a node of the tree parsed from it, and gives the new text; the
//! tree is then parsed again, which costs microseconds. No libvirt meaning lives here.

use roxmltree::{Document, Node, ParsingOptions};
use std::ops::Range;

/// Why a text is not XML.
#[derive(Debug, thiserror::Error)]
#[error("it is not well-formed XML")]
pub struct XmlError(#[source] roxmltree::Error);

/// Where in an element a value is.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    /// Its text.
    Text,
    /// One of its attributes.
    Attribute(&'static str),
    /// One attribute or another, whichever this says for a value.
    AttributeFor(fn(&str) -> &'static str, [&'static str; 2]),
    /// That it is there, whatever is in it: read as this word.
    Presence(&'static str),
    /// Several places in it that change together: how they are read as one value, and how one is written.
    Whole(Reader, Writer),
}

/// Reads a value in an element.
pub type Reader = fn(Node<'_, '_>) -> Option<String>;
/// Writes a value into an element of a text.
pub type Writer = fn(&str, Node<'_, '_>, &str) -> String;

/// Parses a document. A DTD is refused: nothing that comes from libvirt has one.
///
/// # Errors
/// Says where the text stops being XML.
pub fn parse(text: &str) -> Result<Document<'_>, XmlError> {
    Document::parse_with_options(text, ParsingOptions::default()).map_err(XmlError)
}

/// The element reached by these child names, each time the first of its name.
pub fn descend<'a, 'input>(from: Node<'a, 'input>, path: &[&str]) -> Option<Node<'a, 'input>> {
    path.iter().try_fold(from, |node, name| child(node, name))
}

/// The first child element of this name, in no namespace.
pub fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|node| node.has_tag_name(name))
}

/// Reads one part of an element.
#[must_use]
pub fn read(node: Node<'_, '_>, part: Part) -> Option<String> {
    match part {
        Part::Text => Some(node.children().filter_map(|part| part.text()).collect()),
        Part::Attribute(name) => node.attribute(name).map(str::to_owned),
        Part::AttributeFor(_, names) => {
            let mut values = names.into_iter().filter_map(|name| node.attribute(name));
            values.next().map(str::to_owned)
        }
        Part::Presence(word) => Some(word.to_owned()),
        Part::Whole(read, _) => read(node),
    }
}

/// Writes one part of the element at `path` below `scope`, and makes the elements on the way that are missing. An element's
/// presence has no value.
#[must_use]
pub fn write(text: &str, scope: Node<'_, '_>, path: &[&str], part: Part, value: &str) -> String {
    let mut node = scope;
    for (depth, name) in path.iter().enumerate() {
        match child(node, name) {
            Some(next) => node = next,
            None => return insert(text, node, &nested(&path[depth..], part, value)),
        }
    }
    match part {
        Part::Text => set_text(text, node, value),
        Part::Attribute(name) => set_attribute(text, node, name, value),
        Part::AttributeFor(name_for, names) => {
            let name = name_for(value);
            let mut others = names.into_iter().filter(|other| *other != name);
            match others.find_map(|other| node.attribute_node(other)) {
                Some(other) => {
                    let attribute = format!("{name}='{}'", escape(value));
                    splice(text, other.range(), &attribute)
                }
                None => set_attribute(text, node, name, value),
            }
        }
        Part::Presence(_) => text.to_owned(),
        Part::Whole(_, write) => write(text, node, value),
    }
}

/// Replaces an element's content by a text.
#[must_use]
pub fn set_text(text: &str, node: Node<'_, '_>, value: &str) -> String {
    let element = node.range();
    let value = escape(value);
    match inner(text, &element) {
        Some(content) => splice(text, content, &value),
        None => {
            let open = &text[element.start..element.end - 2].trim_end();
            let name = tag_name(text, &element);
            splice(text, element.clone(), &format!("{open}>{value}</{name}>"))
        }
    }
}

/// Sets an attribute in no namespace, in the quotes it has.
#[must_use]
pub fn set_attribute(text: &str, node: Node<'_, '_>, name: &str, value: &str) -> String {
    if let Some(attribute) = node.attribute_node(name) {
        return splice(text, attribute.range_value(), &escape(value));
    }
    let after_name = node.range().start + 1 + tag_name(text, &node.range()).len();
    let at = node
        .attributes()
        .map(|attribute| attribute.range().end)
        .max()
        .unwrap_or(after_name);
    splice(text, at..at, &format!(" {name}='{}'", escape(value)))
}

/// Removes an attribute with the space before it.
#[must_use]
pub fn remove_attribute(text: &str, node: Node<'_, '_>, name: &str) -> String {
    let Some(attribute) = node.attribute_node(name) else {
        return text.to_owned();
    };
    let range = attribute.range();
    let start = text[..range.start].trim_end().len();
    splice(text, start..range.end, "")
}

/// Removes an element with its indentation.
#[must_use]
pub fn remove(text: &str, node: Node<'_, '_>) -> String {
    let range = node.range();
    let before = text[..range.start].trim_end_matches([' ', '\t']);
    let start = if before.ends_with('\n') {
        before.len() - 1
    } else {
        range.start
    };
    splice(text, start..range.end, "")
}

/// Replaces an element by one that is written on one line or many.
#[must_use]
pub fn replace(text: &str, node: Node<'_, '_>, element: &str) -> String {
    let outer = indentation(text, node.range().start);
    let lines = element.replace('\n', &format!("\n{outer}"));
    splice(text, node.range(), &lines)
}

/// Inserts an element, written on one line or many with two spaces a level, as its parent's last child.
#[must_use]
pub fn insert(text: &str, parent: Node<'_, '_>, element: &str) -> String {
    let range = parent.range();
    let outer = indentation(text, range.start);
    let step = format!("{outer}  ");
    let lines = element
        .lines()
        .map(|line| format!("\n{step}{line}"))
        .collect::<String>();
    match inner(text, &range) {
        Some(content) => {
            let end = content.start + text[content.clone()].trim_end().len();
            let tail = &text[end..content.end];
            let close = if tail.contains('\n') {
                tail.to_owned()
            } else {
                format!("\n{outer}")
            };
            splice(text, end..content.end, &(lines + &close))
        }
        None => {
            let open = text[range.start..range.end - 2].trim_end();
            let name = tag_name(text, &range);
            splice(
                text,
                range.clone(),
                &format!("{open}>{lines}\n{outer}</{name}>"),
            )
        }
    }
}

/// Inserts an element, written on one line or many, before another one.
#[must_use]
pub fn insert_before(text: &str, next: Node<'_, '_>, element: &str) -> String {
    let at = next.range().start;
    let outer = indentation(text, at);
    let lines = element.replace('\n', &format!("\n{outer}"));
    splice(text, at..at, &format!("{lines}\n{outer}"))
}

/// A value as it stands between tags or in quotes of either sort.
#[must_use]
pub fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\'' => escaped.push_str("&apos;"),
            '"' => escaped.push_str("&quot;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// Elements one in another, the innermost with the value.
fn nested(path: &[&str], part: Part, value: &str) -> String {
    let Some((last, outer)) = path.split_last() else {
        return String::new();
    };
    let with = |name: &str| format!("<{last} {name}='{}'/>", escape(value));
    let innermost = match part {
        Part::Text => format!("<{last}>{}</{last}>", escape(value)),
        Part::Attribute(name) => with(name),
        Part::AttributeFor(name_for, _) => with(name_for(value)),
        Part::Presence(_) | Part::Whole(..) => format!("<{last}/>"),
    };
    outer.iter().rev().fold(innermost, |inside, name| {
        let inside = inside
            .lines()
            .map(|line| format!("  {line}\n"))
            .collect::<String>();
        format!("<{name}>\n{inside}</{name}>")
    })
}

/// What is between an element's tags; nothing for `<name/>`.
fn inner(text: &str, element: &Range<usize>) -> Option<Range<usize>> {
    let whole = &text[element.clone()];
    if whole.ends_with("/>") {
        return None;
    }
    let close = whole.rfind("</")?;
    Some(element.start + start_tag_length(whole)..element.start + close)
}

/// The length of the start tag that a text begins with; `>` may stand inside quotes.
fn start_tag_length(element: &str) -> usize {
    let mut quote = None;
    for (at, byte) in element.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return at + 1,
            (None, b'\'' | b'"') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    element.len()
}

/// The element's name as written, prefix included.
fn tag_name<'t>(text: &'t str, element: &Range<usize>) -> &'t str {
    let rest = &text[element.start + 1..element.end];
    &rest[..rest
        .find(|c: char| c.is_whitespace() || matches!(c, '/' | '>'))
        .unwrap_or(rest.len())]
}

/// The white space between the line's begin and this place, if there is nothing else.
fn indentation(text: &str, at: usize) -> &str {
    let line = &text[text[..at].rfind('\n').map_or(0, |newline| newline + 1)..at];
    if line.trim().is_empty() { line } else { "" }
}

fn splice(text: &str, range: Range<usize>, replacement: &str) -> String {
    [&text[..range.start], replacement, &text[range.end..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DOMAIN: &str = "<domain type='qemu' id=\"3\">\n  <!-- mine -->\n  <name>vm</name>\n  <os>\n    <type arch='armv7l'>hvm</type>\n  </os>\n  <features/>\n  <vcpu placement='static' current='1'>2</vcpu>\n</domain>\n";

    fn edited(text: &str, path: &[&str], edit: impl Fn(&str, Node<'_, '_>) -> String) -> String {
        let document = parse(text).unwrap();
        let node = descend(document.root_element(), path).unwrap();
        let edited = edit(text, node);
        parse(&edited).unwrap();
        edited
    }

    #[test]
    fn a_missing_element_is_made_where_its_parent_is() {
        let text = edited(DOMAIN, &[], |text, node| {
            write(text, node, &["os", "kernel"], Part::Text, "/a<b")
        });
        assert_eq!(
            text,
            DOMAIN.replace("  </os>", "    <kernel>/a&lt;b</kernel>\n  </os>")
        );
        let text = edited(DOMAIN, &[], |text, node| {
            write(
                text,
                node,
                &["features", "gic"],
                Part::Attribute("version"),
                "2",
            )
        });
        assert_eq!(
            text,
            DOMAIN.replace(
                "<features/>",
                "<features>\n    <gic version='2'/>\n  </features>"
            )
        );
        let text = edited(DOMAIN, &[], |text, node| {
            write(text, node, &["a", "b"], Part::Text, "c")
        });
        assert_eq!(
            text,
            DOMAIN.replace("</vcpu>\n", "</vcpu>\n  <a>\n    <b>c</b>\n  </a>\n")
        );
    }

    #[test]
    fn insertion_into_a_single_line_keeps_it_well_formed() {
        let text = edited("<a><b/></a>", &[], |text, node| insert(text, node, "<c/>"));
        assert_eq!(text, "<a><b/>\n  <c/>\n</a>");
        let text = edited("<a>  </a>", &[], |text, node| insert(text, node, "<c/>"));
        assert_eq!(text, "<a>\n  <c/>\n</a>");
    }

    #[test]
    fn only_the_named_part_changes() {
        let text = edited(DOMAIN, &["vcpu"], |text, node| set_text(text, node, "4"));
        assert_eq!(text, DOMAIN.replace(">2<", ">4<"));
        let text = edited(DOMAIN, &["vcpu"], |text, node| {
            remove_attribute(text, node, "current")
        });
        assert_eq!(text, DOMAIN.replace(" current='1'", ""));
        let text = edited(DOMAIN, &[], |text, node| {
            set_attribute(text, node, "id", "4")
        });
        assert_eq!(text, DOMAIN.replace("\"3\"", "\"4\""));
        let text = edited(DOMAIN, &["os", "type"], |text, node| {
            set_attribute(text, node, "machine", "virt")
        });
        assert_eq!(text, DOMAIN.replace("'armv7l'", "'armv7l' machine='virt'"));
        let text = edited(DOMAIN, &["features"], |text, node| {
            set_attribute(text, node, "x", "y")
        });
        assert_eq!(text, DOMAIN.replace("<features/>", "<features x='y'/>"));
        let text = edited(DOMAIN, &["features"], |text, node| {
            set_text(text, node, "y")
        });
        assert_eq!(
            text,
            DOMAIN.replace("<features/>", "<features>y</features>")
        );
        let text = edited(DOMAIN, &["os"], remove);
        assert_eq!(
            text,
            DOMAIN.replace("\n  <os>\n    <type arch='armv7l'>hvm</type>\n  </os>", "")
        );
    }

    #[test]
    fn a_greater_sign_in_an_attribute_ends_no_tag() {
        let text = edited("<a b='>'>c</a>", &[], |text, node| {
            set_text(text, node, "d")
        });
        assert_eq!(text, "<a b='>'>d</a>");
    }

    proptest! {
        #[test]
        fn any_value_reads_back(value in "[^\\p{Cc}]{0,40}") {
            let text = edited(DOMAIN, &["name"], |text, node| set_text(text, node, &value));
            let document = parse(&text).unwrap();
            let name = child(document.root_element(), "name").unwrap();
            prop_assert_eq!(read(name, Part::Text).unwrap(), value.clone());
            let text = edited(DOMAIN, &["os", "type"], |text, node| set_attribute(text, node, "machine", &value));
            let document = parse(&text).unwrap();
            let node = descend(document.root_element(), &["os", "type"]).unwrap();
            prop_assert_eq!(read(node, Part::Attribute("machine")).unwrap(), value);
        }
    }
}
