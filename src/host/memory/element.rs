//! A domain's XML as libvirt prints it: two spaces a level, single quotes, no comments.
//!
//! Not made of the edits of [`crate::xml`], so that a mistake there cannot hide itself.

use crate::xml::escape;
use roxmltree::Node;

/// An element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Element>,
    pub(super) text: String,
    /// What libvirt keeps as it is: elements of other namespaces.
    verbatim: Option<String>,
}

impl Element {
    pub(super) fn new(name: &str, attributes: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            name: name.to_owned(),
            attributes: attributes.iter().map(owned).collect(),
            ..Self::default()
        }
    }

    pub(super) fn saying(mut self, text: &str) -> Self {
        text.clone_into(&mut self.text);
        self
    }

    pub(super) fn holding(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    pub(super) fn read(node: Node<'_, '_>) -> Self {
        if node.tag_name().namespace().is_some() {
            let source = &node.document().input_text()[node.range()];
            return Self {
                name: node.tag_name().name().to_owned(),
                verbatim: Some(source.to_owned()),
                ..Self::default()
            };
        }
        let children: Vec<_> = node
            .children()
            .filter(Node::is_element)
            .map(Self::read)
            .collect();
        let attribute =
            |it: roxmltree::Attribute<'_, '_>| (it.name().to_owned(), it.value().to_owned());
        let text = node.children().filter_map(|child| child.text());
        Self {
            name: node.tag_name().name().to_owned(),
            attributes: node.attributes().map(attribute).collect(),
            text: if children.is_empty() {
                text.collect()
            } else {
                String::new()
            },
            children,
            verbatim: None,
        }
    }

    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        self.render_below("", &mut text);
        text
    }

    fn render_below(&self, indentation: &str, text: &mut String) {
        *text += indentation;
        if let Some(source) = &self.verbatim {
            *text += &format!("{source}\n");
            return;
        }
        *text += &format!("<{}", self.name);
        for (name, value) in &self.attributes {
            *text += &format!(" {name}='{}'", escape(value));
        }
        if self.children.is_empty() && self.text.is_empty() {
            *text += "/>\n";
        } else if self.children.is_empty() {
            *text += &format!(">{}</{}>\n", escape(&self.text), self.name);
        } else {
            *text += ">\n";
            for child in &self.children {
                child.render_below(&format!("{indentation}  "), text);
            }
            *text += &format!("{indentation}</{}>\n", self.name);
        }
    }

    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The first child of this name, which is put in if it is not there.
    pub(super) fn child_or(&mut self, name: &str, new: impl FnOnce() -> Self) -> &mut Self {
        let at = self.children.iter().position(|child| child.name == name);
        let at = at.unwrap_or_else(|| {
            self.children.push(new());
            self.children.len() - 1
        });
        &mut self.children[at]
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        let found = attributes.find(|(seen, _)| seen == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Sets an attribute, which becomes the last if it is new.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        match self.attributes.iter_mut().find(|(seen, _)| seen == name) {
            Some((_, seen)) => value.clone_into(seen),
            None => self.attributes.push((name.to_owned(), value.to_owned())),
        }
    }

    pub(super) fn unset(&mut self, name: &str) {
        self.attributes.retain(|(seen, _)| seen != name);
    }

    /// Sorts the children by their names' places in this list of words; those not in it come last.
    pub(super) fn sort(&mut self, order: &str) {
        let place = |child: &Self| {
            let at = order.split(' ').position(|name| name == child.name);
            at.unwrap_or(usize::MAX)
        };
        self.children.sort_by_key(place);
    }
}
