//! A document that is edited: it is read once, edited element by element, and written once. What no edit names keeps its
//! bytes.
//!
//! Comments, white space and elements of other namespaces are bytes between elements: nobody finds or edits them. What is put
//! in is indented by two spaces a level.

use super::{Part, XmlError, escape, parse};
use roxmltree::{Document, Node, StringStorage};
use std::borrow::Cow;
use std::fmt;

/// A document.
#[derive(Debug, Clone)]
pub struct Tree<'t> {
    before: &'t str,
    root: Element<'t>,
    after: &'t str,
}

/// An element in no namespace.
#[derive(Debug, Clone)]
pub struct Element<'t> {
    name: &'t str,
    attributes: Vec<Attribute<'t>>,
    /// What is between the last attribute and the end of the start tag: white space and declarations of namespaces.
    tail: Cow<'t, str>,
    /// What is between its tags; nothing for `<name/>`.
    content: Option<Vec<Piece<'t>>>,
    /// The white space before the end of the end tag.
    end: &'t str,
    /// The white space before it on its line, if there is nothing else.
    indentation: Cow<'t, str>,
}

#[derive(Debug, Clone)]
struct Attribute<'t> {
    /// What is before it in the tag: white space and declarations of namespaces.
    space: Cow<'t, str>,
    /// The whole of it, as in `name='value'`.
    written: Cow<'t, str>,
    /// What it says; nothing for one in a namespace.
    value: Option<Cow<'t, str>>,
}

#[derive(Debug, Clone)]
enum Piece<'t> {
    Bytes(Cow<'t, str>),
    Element(Element<'t>),
}

impl<'t> Tree<'t> {
    /// A document that was parsed, to be edited.
    #[must_use]
    pub fn of(document: &Document<'t>) -> Self {
        let text = document.input_text();
        let root = document.root_element();
        let range = root.range();
        let before = &text[..range.start];
        Self {
            before,
            root: Element::read(root, indentation(before)),
            after: &text[range.end..],
        }
    }

    /// Its outermost element.
    pub const fn root(&mut self) -> &mut Element<'t> {
        &mut self.root
    }
}

impl fmt::Display for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.before, self.root, self.after)
    }
}

impl<'t> Element<'t> {
    /// One without attributes and content.
    #[must_use]
    pub const fn new(name: &'t str) -> Self {
        Self {
            name,
            attributes: Vec::new(),
            tail: Cow::Borrowed(""),
            content: None,
            end: "",
            indentation: Cow::Borrowed(""),
        }
    }

    /// One that is written out, with two spaces a level.
    ///
    /// # Errors
    /// Says where the text stops being XML.
    pub fn parse(text: &'t str) -> Result<Self, XmlError> {
        parse(text).map(|document| Tree::of(&document).root)
    }

    fn read(node: Node<'_, 't>, indentation: &'t str) -> Self {
        let text = node.document().input_text();
        let range = node.range();
        let whole = &text[range.clone()];
        let name = name_of(&whole[1..]);
        let mut at = range.start + 1 + name.len();
        let mut attributes = Vec::with_capacity(node.attributes().len());
        for attribute in node.attributes() {
            let own = attribute.range();
            let value = match (attribute.namespace(), attribute.value_storage()) {
                (Some(_), _) => None,
                (None, StringStorage::Borrowed(value)) => Some(Cow::Borrowed(*value)),
                (None, StringStorage::Owned(value)) => Some(Cow::Owned(value.to_string())),
            };
            attributes.push(Attribute {
                space: Cow::Borrowed(&text[at..own.start]),
                written: Cow::Borrowed(&text[own.clone()]),
                value,
            });
            at = own.end;
        }
        let rest = &text[at..range.end];
        let (tail, content, end) = match rest.strip_suffix("/>") {
            Some(tail) => (tail, None, ""),
            None => {
                let tail = &rest[..tail_length(rest)];
                let end = range.start + whole.rfind("</").unwrap_or(whole.len());
                let pieces = pieces(node, &text[..end], at + tail.len() + 1);
                let end_tag = &text[end..range.end];
                let end = end_tag.trim_end_matches('>');
                (tail, Some(pieces), &end[end.trim_end().len()..])
            }
        };
        Self {
            name,
            attributes,
            tail: Cow::Borrowed(tail),
            content,
            end,
            indentation: Cow::Borrowed(indentation),
        }
    }

    /// Whether it is called so.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name == name
    }

    /// The value of an attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        let attribute = attributes.find(|attribute| attribute.is(name))?;
        attribute.value.as_deref()
    }

    /// Its elements.
    pub fn children(&self) -> impl Iterator<Item = &Self> {
        let pieces = self.content.iter().flatten();
        pieces.filter_map(|piece| match piece {
            Piece::Element(element) => Some(element),
            Piece::Bytes(_) => None,
        })
    }

    /// Its first element of this name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children().find(|child| child.is(name))
    }

    /// The first of its elements for which something holds, to be edited.
    pub fn find(&mut self, holds: impl Fn(&Self) -> bool) -> Option<&mut Self> {
        let pieces = self.content.iter_mut().flatten();
        let mut elements = pieces.filter_map(|piece| match piece {
            Piece::Element(element) => Some(element),
            Piece::Bytes(_) => None,
        });
        elements.find(|element| holds(element))
    }

    /// The element reached by these names, each time the first of its name, to be edited.
    pub fn descend(&mut self, path: &[&str]) -> Option<&mut Self> {
        path.iter()
            .try_fold(self, |element, name| element.find(|child| child.is(name)))
    }

    /// Whether it has neither attributes nor content.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        let is_space =
            |piece: &Piece<'_>| matches!(piece, Piece::Bytes(bytes) if bytes.trim().is_empty());
        self.attributes.is_empty() && self.content.iter().flatten().all(is_space)
    }

    /// Writes one part of the element at a path below this one, and makes the elements on the way that are missing.
    pub fn write(&mut self, path: &[&'t str], part: Part, value: &str) {
        let Some((name, rest)) = path.split_first() else {
            return self.set(part, value);
        };
        if self.child(name).is_none() {
            self.insert(Self::new(name));
        }
        if let Some(child) = self.find(|child| child.is(name)) {
            child.write(rest, part, value);
        }
    }

    /// Writes one part of it. That it is there has no value.
    fn set(&mut self, part: Part, value: &str) {
        match part {
            Part::Text => self.set_text(value),
            Part::Attribute(name) => self.set_attribute(name, value),
            Part::AttributeFor(name_for, names) => {
                let name = name_for(value);
                let is_other = |one: &&mut Attribute<'_>| {
                    let mut others = names.iter().filter(|other| **other != name);
                    others.any(|other| one.is(other))
                };
                match self.attributes.iter_mut().find(is_other) {
                    Some(other) => other.replace(name, value),
                    None => self.set_attribute(name, value),
                }
            }
            Part::Presence(_) => {}
            Part::Whole(_, write) => write(self, value),
        }
    }

    /// Replaces its content by a text.
    pub fn set_text(&mut self, value: &str) {
        *self.open() = vec![Piece::Bytes(Cow::Owned(escape(value)))];
    }

    /// Sets an attribute, in the quotes that it has.
    pub fn set_attribute(&mut self, name: &str, value: &str) {
        let mut attributes = self.attributes.iter_mut();
        match attributes.find(|attribute| attribute.is(name)) {
            Some(attribute) => attribute.set(value),
            None => self.attributes.push(Attribute::new(name, value)),
        }
    }

    /// Removes an attribute with the white space before it.
    pub fn remove_attribute(&mut self, name: &str) {
        let Some(at) = self.attributes.iter().position(|one| one.is(name)) else {
            return;
        };
        let removed = self.attributes.remove(at);
        let declarations = removed.space.trim_end();
        if !declarations.is_empty() {
            let next = self.attributes.get_mut(at);
            let next = next.map_or(&mut self.tail, |next| &mut next.space);
            next.to_mut().insert_str(0, declarations);
        }
    }

    /// Puts an element behind all others.
    pub fn insert(&mut self, mut element: Self) {
        element.indent(&self.inside());
        let mut end = format!("\n{}", self.indentation);
        let pieces = self.open();
        let mut space = String::new();
        if let Some(Piece::Bytes(last)) = pieces.pop_if(|last| matches!(last, Piece::Bytes(_))) {
            let (kept, tail) = last.split_at(last.trim_end().len());
            // The end tag stays on its line.
            if tail.contains('\n') {
                tail.clone_into(&mut end);
            }
            kept.clone_into(&mut space);
        }
        space.extend(["\n", &element.indentation]);
        pieces.push(Piece::Bytes(Cow::Owned(space)));
        pieces.push(Piece::Element(element));
        pieces.push(Piece::Bytes(Cow::Owned(end)));
    }

    /// Puts an element before the first one of a name; behind all others if there is none.
    pub fn insert_before(&mut self, name: &str, mut element: Self) {
        let Some((at, indentation)) = self.position(name) else {
            return self.insert(element);
        };
        element.indent(&indentation);
        let space = Cow::Owned(format!("\n{indentation}"));
        let new = [Piece::Element(element), Piece::Bytes(space)];
        self.open().splice(at..at, new);
    }

    /// Puts an element in the place of the first one of its name; behind all others if there is none.
    pub fn put(&mut self, element: Self) {
        match self.find(|child| child.is(element.name)) {
            Some(former) => former.replace(element),
            None => self.insert(element),
        }
    }

    /// Puts another one in its place.
    pub fn replace(&mut self, mut element: Self) {
        element.indent(&self.indentation);
        *self = element;
    }

    /// Removes the first of its elements for which something holds, with its indentation.
    pub fn remove(&mut self, holds: impl Fn(&Self) -> bool) -> Option<Self> {
        let pieces = self.content.as_mut()?;
        let holds = |piece: &Piece<'t>| matches!(piece, Piece::Element(child) if holds(child));
        let at = pieces.iter().position(holds)?;
        let removed = pieces.remove(at);
        if let Some(Piece::Bytes(before)) = at.checked_sub(1).and_then(|at| pieces.get_mut(at)) {
            let line = before.trim_end_matches([' ', '\t']);
            if let Some(line) = line.strip_suffix('\n') {
                let kept = line.len();
                before.to_mut().truncate(kept);
            }
        }
        match removed {
            Piece::Element(element) => Some(element),
            Piece::Bytes(_) => None,
        }
    }

    /// Removes the element at a path below this one with its indentation, and those around it that are blank then. Says whether
    /// there was one.
    pub fn clear(&mut self, path: &[&str]) -> bool {
        let Some((name, rest)) = path.split_first() else {
            return false;
        };
        let child = self.find(|child| child.is(name));
        let goes = match (child, rest) {
            (None, _) => return false,
            (Some(_), []) => true,
            (Some(child), rest) => match child.clear(rest) {
                true => child.is_blank(),
                false => return false,
            },
        };
        if goes {
            self.remove(|child| child.is(name));
        }
        true
    }

    /// What is between its tags, which it gets if it has none.
    fn open(&mut self) -> &mut Vec<Piece<'t>> {
        if self.content.is_none() {
            self.tail = Cow::Owned(self.tail.trim_end().to_owned());
        }
        self.content.get_or_insert_default()
    }

    /// Where the first element of a name is, and how that is indented.
    fn position(&self, name: &str) -> Option<(usize, String)> {
        let mut pieces = self.content.iter().flatten().enumerate();
        pieces.find_map(|(at, piece)| match piece {
            Piece::Element(element) if element.is(name) => {
                Some((at, element.indentation.to_string()))
            }
            _ => None,
        })
    }

    /// The indentation of what is put into it.
    fn inside(&self) -> String {
        format!("{}  ", self.indentation)
    }

    /// Indents it and what is in it anew.
    fn indent(&mut self, to: &str) {
        let from = self.indentation.to_string();
        self.move_lines(&from, to);
    }

    fn move_lines(&mut self, from: &str, to: &str) {
        let own = self.indentation.strip_prefix(from).unwrap_or_default();
        self.indentation = Cow::Owned(format!("{to}{own}"));
        for piece in self.content.iter_mut().flatten() {
            match piece {
                Piece::Element(element) => element.move_lines(from, to),
                Piece::Bytes(bytes) if bytes.contains('\n') => {
                    let lines = bytes.replace(&format!("\n{from}"), &format!("\n{to}"));
                    *bytes = Cow::Owned(lines);
                }
                Piece::Bytes(_) => {}
            }
        }
    }
}

impl fmt::Display for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name, tail, end, ..
        } = self;
        write!(f, "<{name}")?;
        for attribute in &self.attributes {
            f.write_str(&attribute.space)?;
            f.write_str(&attribute.written)?;
        }
        f.write_str(tail)?;
        let Some(pieces) = &self.content else {
            return f.write_str("/>");
        };
        f.write_str(">")?;
        for piece in pieces {
            match piece {
                Piece::Bytes(bytes) => f.write_str(bytes)?,
                Piece::Element(element) => element.fmt(f)?,
            }
        }
        write!(f, "</{name}{end}>")
    }
}

impl Attribute<'_> {
    fn new(name: &str, value: &str) -> Self {
        let mut attribute = Self {
            space: Cow::Borrowed(" "),
            written: Cow::Borrowed(""),
            value: None,
        };
        attribute.replace(name, value);
        attribute
    }

    fn is(&self, name: &str) -> bool {
        self.value.is_some() && name_of(&self.written) == name
    }

    fn replace(&mut self, name: &str, value: &str) {
        self.written = Cow::Owned(format!("{name}='{}'", escape(value)));
        self.value = Some(Cow::Owned(value.to_owned()));
    }

    /// Changes its value, in its quotes.
    fn set(&mut self, value: &str) {
        let Some(open) = self.written.find(['\'', '"']) else {
            return;
        };
        let (opening, quote) = (&self.written[..=open], &self.written[open..=open]);
        self.written = Cow::Owned(format!("{opening}{}{quote}", escape(value)));
        self.value = Some(Cow::Owned(value.to_owned()));
    }
}

/// What is between an element's tags, which begin at a place of a text that ends before the end tag.
fn pieces<'t>(node: Node<'_, 't>, text: &'t str, mut at: usize) -> Vec<Piece<'t>> {
    let mut pieces = Vec::new();
    let children = node.children().filter(Node::is_element);
    for child in children.filter(|child| child.tag_name().namespace().is_none()) {
        let own = child.range();
        let before = &text[at..own.start];
        if !before.is_empty() {
            pieces.push(Piece::Bytes(Cow::Borrowed(before)));
        }
        let line = if before.contains('\n') { before } else { "" };
        pieces.push(Piece::Element(Element::read(child, indentation(line))));
        at = own.end;
    }
    if at < text.len() {
        pieces.push(Piece::Bytes(Cow::Borrowed(&text[at..])));
    }
    pieces
}

/// The white space that a text's last line is made of, if it is.
fn indentation(text: &str) -> &str {
    let line = text.rsplit('\n').next().unwrap_or_default();
    if line.trim().is_empty() { line } else { "" }
}

/// The name that a tag's or an attribute's text begins with, prefix included.
fn name_of(text: &str) -> &str {
    let ends = |c: char| c.is_whitespace() || matches!(c, '/' | '>' | '=');
    &text[..text.find(ends).unwrap_or(text.len())]
}

/// How much of a start tag's rest is before its end; `>` may stand inside quotes.
fn tail_length(rest: &str) -> usize {
    let mut quote = None;
    let is_end = |byte: u8| {
        match (quote, byte) {
            (None, b'>') => return true,
            (None, b'\'' | b'"') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
        false
    };
    rest.bytes().position(is_end).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests;
