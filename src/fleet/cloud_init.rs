//! The keys of `cloud_init`, and the texts that they name.

use super::texts::{PlacedText, TextReader};
use crate::fleetfile::{InFolder, Placeholders, map};
use crate::problem::{Checked, Diagnostics, Problem, ProblemKind};
use crate::values::{FleetName, HostPath, Secrets, VmName, domain_uuid};
use std::collections::BTreeSet;
use std::fmt;

map! {
    /// The files that cloud-init gets. In their texts placeholders are replaced as in the fleet file, and `{env.NAME}` by a
    /// secret; `{{` and `}}` are literal braces.
    pub struct CloudInit, PartialCloudInit, "cloud_init": "`cloud_init`", "cloud_init.", "it belongs under `cloud_init`" {
        /// The user data: what cloud-init does in the guest. It begins with a line that cloud-init knows, such as
        /// `#cloud-config` or `#!/bin/sh`.
        user_data: HostPath as InFolder { required, effect: NextBoot, example: "cloud-init/user-data" },
        /// The metadata, lines of `key: value`. An `instance-id` is added where it has none, the same for as long as the VM
        /// keeps its name; with another one cloud-init takes the guest for a new one, and sets it up again.
        meta_data: Option<HostPath> as Option<InFolder> {
            absent: "an `instance-id` that is the VM's own, and its name as `local-hostname`", effect: NextBoot,
            example: "cloud-init/meta-data",
        },
        /// The guest's network, as cloud-init configures it (version 1 or 2). It does so when it sets the guest up.
        network_config: Option<HostPath> as Option<InFolder> {
            absent: "cloud-init has the guest's first network device ask for its address", effect: NextBoot,
            example: "\"cloud-init/{name}-network\"", also_called: ["network"],
        },
    }
}

/// The texts on a VM's disk for cloud-init (its datasource NoCloud): templates, in which `{env.NAME}` stands for each secret.
/// They are shown nowhere, for they may hold secrets that are written out.
#[derive(Clone, PartialEq, Eq)]
pub struct NoCloud {
    user_data: String,
    meta_data: String,
    network_config: Option<String>,
}

impl fmt::Debug for NoCloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoCloud")
    }
}

impl NoCloud {
    /// The files, by their names on the disk.
    #[must_use]
    pub fn files(&self) -> Vec<(&'static str, &str)> {
        let network = self.network_config.as_deref();
        let network = network.map(|text| ("network-config", text));
        let files = [
            ("meta-data", self.meta_data.as_str()),
            ("user-data", &self.user_data),
        ];
        files.into_iter().chain(network).collect()
    }

    /// The metadata, which has the instance-id.
    #[must_use]
    pub fn meta_data(&self) -> &str {
        &self.meta_data
    }

    /// The same with the values of secrets.
    #[must_use]
    pub fn filled(&self, secrets: &Secrets) -> Self {
        Self {
            user_data: secrets.filled(&self.user_data),
            meta_data: secrets.filled(&self.meta_data),
            network_config: self
                .network_config
                .as_deref()
                .map(|text| secrets.filled(text)),
        }
    }

    /// The variables that it names and that have no value.
    #[must_use]
    pub fn unknown_in(&self, secrets: &Secrets) -> BTreeSet<String> {
        let files = self.files().into_iter();
        files
            .flat_map(|(_, text)| secrets.unknown_in(text))
            .collect()
    }

    /// All files as one text, from which a digest is made. Different files give different texts.
    #[must_use]
    pub fn whole(&self) -> String {
        let files = self.files().into_iter();
        let files = files.map(|(name, text)| format!("{name} {}\n{text}\n", text.len()));
        files.collect()
    }
}

/// Reads the texts of a VM, or notes which they are. A VM that was another fleet's keeps its instance-id.
pub(super) fn read(
    files: &PartialCloudInit,
    former_fleet: Option<&FleetName>,
    words: &Placeholders<'_>,
    texts: &TextReader<'_>,
) -> Checked<Option<NoCloud>> {
    let read = |path: &Checked<_>| texts.read(path.as_ref().map_err(|reported| *reported)?, words);
    let optional = |path: &Checked<Option<_>>| match path {
        Ok(Some(path)) => texts.read(path, words),
        Ok(None) => Ok(None),
        Err(reported) => Err(*reported),
    };
    let user_data = read(&files.user_data);
    let meta_data = optional(&files.meta_data);
    let network_config = optional(&files.network_config)?;
    let (user_data, meta_data) = (user_data?, meta_data?);
    let Some(user_data) = user_data.filter(|_| !texts.is_noting()) else {
        return Ok(None);
    };
    let found = words.scope.found;
    let header = unknown_header(&user_data).map(|problem| problem.report(found));
    let fleet = words.fleet.unwrap_or(Err(Diagnostics::left_open()))?;
    let name = words.scope.vm.unwrap_or(Err(Diagnostics::left_open()))?;
    let instance = instance_id(former_fleet.map_or(fleet, FleetName::as_str), &name.value);
    let meta_data = match meta_data {
        Some(text) => with_instance_id(text, &instance, found)?,
        None => format!("{instance}local-hostname: {}\n", name.value),
    };
    match header {
        Some(reported) => Err(reported),
        None => Ok(Some(NoCloud {
            user_data: user_data.template,
            meta_data,
            network_config: network_config.map(|text| text.template),
        })),
    }
}

/// How user data begins (`INCLUSION_TYPES_MAP` of cloud-init), the longer before what they begin with.
const HEADERS: [&str; 9] = [
    "#cloud-config-archive",
    "#cloud-config-jsonp",
    "#cloud-config",
    "#cloud-boothook",
    "#include-once",
    "#include",
    "#part-handler",
    "## template: jinja",
    "#!",
];

/// The same rules as cloud-init's: `type_from_starts_with`, and `convert_string` for MIME messages.
fn unknown_header(text: &PlacedText) -> Option<Problem> {
    /// So far cloud-init looks for a MIME message's header.
    const MIME_HEAD: usize = 4096;
    let begin: String = text.template.trim_start().chars().take(64).collect();
    let begin = begin.to_lowercase();
    let head: String = text.template.chars().take(MIME_HEAD).collect();
    if HEADERS.iter().any(|header| begin.starts_with(header))
        || head.to_lowercase().contains("mime-version:")
    {
        return None;
    }
    let message =
        "user data that cloud-init does not understand: its first line is none that it knows";
    let problem = text.problem(ProblemKind::CloudInitHeader, message);
    Some(problem.help(
        "begin it with `#cloud-config`, `#!/bin/sh`, `#include`, `#cloud-boothook`, `#part-handler`, `#cloud-config-archive` or \
         `## template: jinja`, or make it a MIME message",
    ))
}

/// The line that tells a VM from all others. It stays for as long as the VM has its name: with another one cloud-init would
/// set up again what is set up, host keys included.
fn instance_id(fleet: &str, vm: &VmName) -> String {
    let fleet: Result<FleetName, _> = fleet.parse();
    // A name that is none was reported.
    let id = fleet.map_or_else(
        |_| vm.to_string(),
        |fleet| domain_uuid(&fleet, vm).to_string(),
    );
    format!("instance-id: {id}\n")
}

/// Metadata with an instance-id, the given one if it has one.
fn with_instance_id(text: PlacedText, instance: &str, found: &Diagnostics) -> Checked<String> {
    const KEY: &str = "instance-id";
    let template = &text.template;
    let begins = |part: &str| {
        let part = part.trim_start_matches(['"', '\'']);
        let rest = part
            .strip_prefix(KEY)
            .map(|rest| rest.trim_start_matches(['"', '\'']));
        rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
    };
    let is_flow = template.trim_start().starts_with('{');
    let has_one = match is_flow {
        true => template
            .split(['{', ','])
            .any(|part| begins(part.trim_start())),
        false => template.lines().any(begins),
    };
    match (has_one, is_flow) {
        (true, _) => Ok(text.template),
        (false, false) => Ok(format!("{instance}{template}")),
        (false, true) => {
            let message = "metadata between `{` and `}` has no `instance-id`";
            let problem = text.problem(ProblemKind::CloudInitMetadata, message);
            let problem = problem.help("give it one, or write it as lines of `key: value`");
            Err(problem.report(found))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(text: &str) -> PlacedText {
        PlacedText {
            template: text.to_owned(),
            begin: 0..0,
            named: 0..0,
        }
    }

    #[test]
    fn user_data_begins_as_cloud_init_expects() {
        for known in [
            "#cloud-config\n",
            "#!/bin/sh\n",
            "\n#Cloud-Config\n",
            "## template: jinja\n#cloud-config\n",
            "#include\nhttps://example.org/x\n",
            "Content-Type: multipart/mixed; boundary=x\nMIME-Version: 1.0\n",
        ] {
            assert_eq!(unknown_header(&placed(known)), None, "{known}");
        }
        for unknown in [
            "",
            "# cloud-config\n",
            "packages: [x]\n",
            "\u{feff}#cloud-config\n",
        ] {
            assert!(unknown_header(&placed(unknown)).is_some(), "{unknown}");
        }
    }

    #[test]
    fn metadata_gets_an_instance_id_unless_it_has_one() {
        let with = |text: &str| {
            with_instance_id(placed(text), "instance-id: z\n", &Diagnostics::default())
        };
        for has_one in [
            "local-hostname: x\ninstance-id: y\n",
            "\"instance-id\": y\n",
            "{ local-hostname: x, instance-id: y }",
            "{\"instance-id\": \"y\"}",
        ] {
            assert_eq!(with(has_one).as_deref(), Ok(has_one));
        }
        for lacks_one in [
            "",
            "# none\n",
            "local-hostname: instance-id\n",
            "x:\n  instance-id: y\n",
        ] {
            assert_eq!(with(lacks_one), Ok(format!("instance-id: z\n{lacks_one}")));
        }
        assert!(with("{ local-hostname: x }").is_err());
    }

    #[test]
    fn texts_are_not_shown_and_no_two_have_the_same_digest() {
        let made = |user_data: &str, network: Option<&str>| NoCloud {
            user_data: user_data.to_owned(),
            meta_data: "m".to_owned(),
            network_config: network.map(str::to_owned),
        };
        assert_eq!(format!("{:?}", made("geheim", None)), "NoCloud");
        assert_ne!(
            made("a\nnetwork-config 1\nb", None).whole(),
            made("a", Some("b")).whole()
        );
    }
}
