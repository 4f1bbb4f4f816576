//! The texts of `cloud_init`: which files they are, and what becomes of placeholders in them.

use super::texts;
use armfleet::fleet::{FleetFile, Given, NoCloud, Spec, Text, read_files, texts_named};
use armfleet::problem::Problems;
use armfleet::values::Secrets;
use std::collections::BTreeMap;

const FLEET: &str = "
fleet: f
vars: { files: { default: files } }
secrets: { PW: {} }
profiles:
  cloud: { arch: armhf, memory: 1GiB, boot: { cmdline: a }, cloud_init: { user_data: '{var.files}/user-data' } }
vms:
  'w[08-09]': { profile: cloud, cloud_init: { meta_data: 'files/{name}.meta', network_config: ./network } }
  plain: { arch: armhf, memory: 1GiB, boot: { cmdline: a } }
  x: { profile: cloud }
";

fn file() -> FleetFile<'static> {
    FleetFile {
        name: "fleet.yaml",
        folder: "/fleet",
        bytes: FLEET.as_bytes(),
    }
}

fn read(user_data: &str, secrets: Secrets) -> Result<Spec, Problems> {
    let found = [
        ("/fleet/files/user-data", user_data),
        ("/fleet/files/w08.meta", "local-hostname: {fleet}-{index}\n"),
        ("/fleet/files/w09.meta", "instance-id: {host}\n"),
        ("/fleet/network", "version: 2\n"),
    ];
    let found = found.map(|(path, text)| {
        let text = Text {
            name: path.to_owned(),
            content: Ok(text.as_bytes().to_vec()),
            identity: None,
        };
        (path.parse().unwrap(), text)
    });
    let given = Given {
        secrets,
        texts: Some(found.into()),
        ..Given::default()
    };
    read_files(&[file()], &given)
}

fn secrets(value: &str) -> Secrets {
    Secrets::new(texts(&[("PW", value)]))
}

fn told<'s>(spec: &'s Spec, vm: &str) -> BTreeMap<&'s str, &'s str> {
    let told: &NoCloud = &spec.cloud_init[&vm.parse().unwrap()];
    told.files().into_iter().collect()
}

#[test]
fn the_files_of_a_fleet_are_named_before_they_are_read() {
    let named = texts_named(&[file()], &BTreeMap::new());
    let paths: Vec<_> = named.iter().map(|text| text.path.as_str()).collect();
    let expected = [
        "files/user-data",
        "files/w08.meta",
        "files/w09.meta",
        "network",
    ];
    assert_eq!(paths, expected.map(|path| format!("/fleet/{path}")));
    assert!(named.iter().all(|text| text.folder == "/fleet"));
    let vars = texts(&[("files", "other")]);
    let other = texts_named(&[file()], &vars);
    assert!(
        other
            .iter()
            .any(|text| text.path.as_str() == "/fleet/other/user-data")
    );
    // Without the texts a file can be read; nothing is told then.
    let spec = read_files(&[file()], &Given::default()).unwrap();
    assert!(spec.cloud_init.is_empty() && spec.vms.len() == 4);
}

#[test]
fn placeholders_are_replaced_for_each_vm_and_secrets_have_templates() {
    let text = "#cloud-config\nhostname: {name}\npassword: {env.PW}\nlist: {{a: 1}}\n";
    let spec = read(text, secrets("hunter2")).unwrap();
    assert_eq!(spec.cloud_init.len(), 3);
    let first = told(&spec, "w08");
    let expected = "#cloud-config\nhostname: w08\npassword: {env.PW}\nlist: {a: 1}\n";
    assert_eq!(first["user-data"], expected);
    assert_eq!(first["network-config"], "version: 2\n");
    let (id, name) = first["meta-data"].split_once('\n').unwrap();
    assert!(
        id.starts_with("instance-id: ") && id.len() == 13 + 36,
        "{id}"
    );
    assert_eq!(name, "local-hostname: f-08\n");
    assert_eq!(told(&spec, "w09")["meta-data"], "instance-id: local\n");
    let last = told(&spec, "x");
    assert!(last["meta-data"].ends_with("\nlocal-hostname: x\n"));
    assert_eq!(last.get("network-config"), None);
    assert!(
        !format!("{spec:?}").contains("hunter2") && !format!("{spec:?}").contains("hostname: x")
    );
    let filled = spec.cloud_init[&"x".parse().unwrap()].filled(&spec.secrets);
    assert!(filled.files()[1].1.contains("password: hunter2\n"));
}

#[test]
fn a_secret_that_is_not_set_is_a_problem_of_the_text() {
    let text = "#cloud-config\npassword: {env.PW}\n";
    let problems = read(text, Secrets::default()).unwrap_err();
    let (source, part) = problems.locate(&problems[0].place.range);
    assert_eq!(problems.sources[source].name, "/fleet/files/user-data");
    assert_eq!((problems.len(), part), (1, 24..32));
    let open = Secrets::default().or_unknown(["PW".to_owned()]);
    let spec = read(text, open).unwrap();
    let told = &spec.cloud_init[&"x".parse().unwrap()];
    assert_eq!(told.unknown_in(&spec.secrets), ["PW".to_owned()].into());
    // Where `{{env.PW}}` would be filled later on.
    let problems = read("#cloud-config\n{{env.PW}}\n", secrets("hunter2")).unwrap_err();
    assert_eq!(problems[0].code.name(), "environment");
}

/// What a text holds is not shown with its problems: it may be secret.
#[test]
fn of_a_text_with_a_problem_only_that_is_shown() {
    let text = "#cloud-config\npassword: geheim {nmae} grün €\n";
    let problems = read(text, Secrets::default()).unwrap_err();
    let shown = armfleet::report::render_problems(&problems, false);
    let json = serde_json::to_string(&armfleet::report::ProblemsReport::new(&problems)).unwrap();
    for hidden in ["geheim", "grün", "€"] {
        assert!(
            !shown.contains(hidden) && !json.contains(hidden),
            "{shown}{json}"
        );
        assert!(!format!("{problems:?}").contains(hidden));
    }
    assert!(
        shown.contains("user-data:2:18") && shown.contains("{nmae}"),
        "{shown}"
    );
}
