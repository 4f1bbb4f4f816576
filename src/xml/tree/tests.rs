use super::*;
use crate::xml::{child, descend, read};
use proptest::prelude::*;

const DOMAIN: &str = "<domain type='qemu' id=\"3\">\n  <!-- mine -->\n  <name>vm</name>\n  <os>\n    <type arch='armv7l'>hvm</type>\n  </os>\n  <features/>\n  <vcpu placement='static' current='1'>2</vcpu>\n</domain>\n";

fn edited<'t>(text: &'t str, path: &[&str], edit: impl FnOnce(&mut Element<'t>)) -> String {
    let document = parse(text).unwrap();
    let mut tree = Tree::of(&document);
    edit(tree.root().descend(path).unwrap());
    let edited = tree.to_string();
    parse(&edited).unwrap();
    edited
}

#[test]
fn a_missing_element_is_made_where_its_parent_is() {
    let text = edited(DOMAIN, &[], |domain| {
        domain.write(&["os", "kernel"], Part::Text, "/a<b");
    });
    let with_kernel = "    <kernel>/a&lt;b</kernel>\n  </os>";
    assert_eq!(text, DOMAIN.replace("  </os>", with_kernel));
    let text = edited(DOMAIN, &[], |domain| {
        domain.write(&["features", "gic"], Part::Attribute("version"), "2");
    });
    let with_gic = "<features>\n    <gic version='2'/>\n  </features>";
    assert_eq!(text, DOMAIN.replace("<features/>", with_gic));
    let text = edited(DOMAIN, &[], |domain| {
        domain.write(&["a", "b"], Part::Text, "c");
    });
    let with_a = "</vcpu>\n  <a>\n    <b>c</b>\n  </a>\n";
    assert_eq!(text, DOMAIN.replace("</vcpu>\n", with_a));
}

#[test]
fn insertion_into_a_single_line_keeps_it_well_formed() {
    let insert = |text| edited(text, &[], |a| a.insert(Element::new("c")));
    assert_eq!(insert("<a><b/></a>"), "<a><b/>\n  <c/>\n</a>");
    assert_eq!(insert("<a>  </a>"), "<a>\n  <c/>\n</a>");
    assert_eq!(insert("<a />"), "<a>\n  <c/>\n</a>");
    assert_eq!(insert("<a>text\n</a >"), "<a>text\n  <c/>\n</a >");
}

#[test]
fn only_the_named_part_changes() {
    let text = edited(DOMAIN, &["vcpu"], |vcpu| vcpu.set_text("4"));
    assert_eq!(text, DOMAIN.replace(">2<", ">4<"));
    let text = edited(DOMAIN, &["vcpu"], |vcpu| vcpu.remove_attribute("current"));
    assert_eq!(text, DOMAIN.replace(" current='1'", ""));
    let text = edited(DOMAIN, &[], |domain| domain.set_attribute("id", "4"));
    assert_eq!(text, DOMAIN.replace("\"3\"", "\"4\""));
    let text = edited(DOMAIN, &["os", "type"], |kind| {
        kind.set_attribute("machine", "virt");
    });
    assert_eq!(text, DOMAIN.replace("'armv7l'", "'armv7l' machine='virt'"));
    let text = edited(DOMAIN, &["features"], |features| {
        features.set_attribute("x", "y");
    });
    assert_eq!(text, DOMAIN.replace("<features/>", "<features x='y'/>"));
    let text = edited(DOMAIN, &["features"], |features| features.set_text("y"));
    let with_text = "<features>y</features>";
    assert_eq!(text, DOMAIN.replace("<features/>", with_text));
    let without_os = DOMAIN.replace("\n  <os>\n    <type arch='armv7l'>hvm</type>\n  </os>", "");
    let text = edited(DOMAIN, &[], |domain| {
        domain.remove(|child| child.is("os"));
    });
    assert_eq!(text, without_os);
    // What is around it holds nothing else.
    let text = edited(DOMAIN, &[], |domain| {
        assert!(domain.clear(&["os", "type"]));
        assert!(!domain.clear(&["os", "type"]));
    });
    assert_eq!(text, without_os);
}

#[test]
fn an_element_comes_in_the_place_of_another_with_its_lines() {
    let new = || Element::parse("<new>\n  <inside/>\n</new>").unwrap();
    let text = edited(DOMAIN, &["os", "type"], |kind| kind.replace(new()));
    let written = "<new>\n      <inside/>\n    </new>";
    assert_eq!(
        text,
        DOMAIN.replace("<type arch='armv7l'>hvm</type>", written)
    );
    let text = edited(DOMAIN, &[], |domain| domain.insert_before("os", new()));
    let written = "<new>\n    <inside/>\n  </new>\n  <os>";
    assert_eq!(text, DOMAIN.replace("<os>", written));
    // One that moves is indented as where it comes to.
    let text = edited(DOMAIN, &[], |domain| {
        let mut new = Element::new("new");
        new.insert(domain.remove(|child| child.is("os")).unwrap());
        domain.put(new);
    });
    assert!(text.ends_with(
        "</vcpu>\n  <new>\n    <os>\n      <type arch='armv7l'>hvm</type>\n    </os>\n  </new>\n</domain>\n"
    ));
}

#[test]
fn a_greater_sign_in_an_attribute_ends_no_tag() {
    let text = edited("<a b='>'>c</a>", &[], |a| a.set_text("d"));
    assert_eq!(text, "<a b='>'>d</a>");
    let text = edited("<a xmlns:b='/>'>c</a>", &[], |a| a.set_text("d"));
    assert_eq!(text, "<a xmlns:b='/>'>d</a>");
}

#[test]
fn declarations_of_namespaces_stay_and_what_is_in_them_is_not_found() {
    let text = "<a xmlns:n='u' n:b='0' b='1' xmlns:m='v' c='2'><n:d/><d/></a>";
    let edited = edited(text, &[], |a| {
        a.remove_attribute("c");
        a.set_attribute("b", "3");
        a.write(&["d"], Part::Attribute("e"), "4");
    });
    let expected = "<a xmlns:n='u' n:b='0' b='3' xmlns:m='v'><n:d/><d e='4'/></a>";
    assert_eq!(edited, expected);
    let document = parse("<a xmlns:n='u'><n:d/></a>").unwrap();
    assert!(child(document.root_element(), "d").is_none());
}

/// XML that nobody would write.
fn odd() -> impl Strategy<Value = String> {
    let space = || proptest::sample::select(vec!["", " ", "\n", "\n\t ", "  "]);
    let text = proptest::sample::select(vec![
        "",
        "text",
        "\n  ",
        "<!-- <c> -->",
        "<![CDATA[</a>]]>",
        "&lt;",
        "&#10;",
        "<?p ?>",
        "<n:x/>",
    ]);
    let attribute = proptest::sample::select(vec![
        " b='1'",
        "\nb = \"/>\"",
        " b='&gt;' c=''",
        " xmlns:m='>' b='x'",
        " n:b='1' b='2'",
        "",
    ]);
    let leaf = (attribute.clone(), space(), proptest::bool::ANY).prop_map(
        |(attribute, space, is_short)| match is_short {
            true => format!("<a{attribute}{space}/>"),
            false => format!("<a{attribute}{space}></a{space}>"),
        },
    );
    let tree = leaf.prop_recursive(4, 24, 4, move |inner| {
        let inside = proptest::collection::vec((text.clone(), inner), 0..4);
        (attribute.clone(), space(), inside, text.clone()).prop_map(
            |(attribute, space, inside, last)| {
                let inside: String = inside
                    .into_iter()
                    .map(|(text, one)| text.to_owned() + &one)
                    .collect();
                format!("<a{attribute}{space}>{inside}{last}</a{space}>")
            },
        )
    });
    (space(), tree, space()).prop_map(|(before, tree, after)| {
        let root = tree.replacen("<a", "<a xmlns:n='u'", 1);
        format!("{before}{root}{after}")
    })
}

proptest! {
    #[test]
    fn any_value_reads_back(value in "[^\\p{Cc}]{0,40}") {
        let text = edited(DOMAIN, &["name"], |name| name.set_text(&value));
        let document = parse(&text).unwrap();
        let name = child(document.root_element(), "name").unwrap();
        prop_assert_eq!(read(name, Part::Text).unwrap(), value.clone());
        let text = edited(DOMAIN, &["os", "type"], |kind| kind.set_attribute("machine", &value));
        let document = parse(&text).unwrap();
        let node = descend(document.root_element(), &["os", "type"]).unwrap();
        prop_assert_eq!(read(node, Part::Attribute("machine")).unwrap(), value);
    }

    #[test]
    fn what_is_not_edited_keeps_its_bytes(text in odd()) {
        let document = parse(&text).unwrap();
        let mut tree = Tree::of(&document);
        prop_assert_eq!(tree.to_string(), text.clone());
        tree.root().write(&["a", "new"], Part::Text, "value");
        let edited = tree.to_string();
        let document = parse(&edited).unwrap();
        let new = descend(document.root_element(), &["a", "new"]).unwrap();
        prop_assert_eq!(read(new, Part::Text).unwrap(), "value");
        let mut tree = Tree::of(&document);
        prop_assert!(tree.root().clear(&["a", "new"]));
        parse(&tree.to_string()).unwrap();
    }
}
