//! XML: what is read is `roxmltree`'s, what is edited is a tree that leaves every other byte as it was. No libvirt meaning
//! lives here.

mod tree;

pub use tree::{Element, Tree};

use roxmltree::{Document, Node, ParsingOptions};

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
/// Writes a value into an element.
pub type Writer = fn(&mut Element<'_>, &str);

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
    let is_child = |node: &Node<'_, '_>| {
        let tag = node.tag_name();
        node.is_element() && tag.name() == name && tag.namespace().is_none()
    };
    node.children().find(is_child)
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
