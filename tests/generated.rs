//! Completions and manual pages: there is one for each shell and each command.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn armfleet(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_armfleet"));
    command.args(arguments).output().unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = armfleet(arguments);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that the help lists.
fn commands() -> Vec<String> {
    let help = printed(&["--help"]);
    let list = help.split("Commands:\n").nth(1).unwrap();
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| {
        let begins = line.starts_with("  ") && !line.starts_with("   ");
        let name = line.split_whitespace().next()?;
        begins.then(|| name.to_owned())
    });
    names.filter(|name| name != "help").collect()
}

#[test]
fn every_command_has_a_page_and_a_line_on_the_first() {
    let commands = commands();
    assert!(commands.len() > 8, "{commands:?}");
    let first = printed(&["man"]);
    let listed = printed(&["man", "--list"]);
    assert_eq!(listed.lines().count(), commands.len() + 2, "{listed}");
    for command in commands {
        let escaped = command.replace('-', "\\-");
        assert!(
            first.contains(&format!("armfleet\\-{escaped}(1)")),
            "{command}"
        );
        let page = printed(&["man", &command]);
        assert!(
            page.contains(&format!(".TH armfleet-{command} 1  \"armfleet ")),
            "{page}"
        );
        let asked = format!("armfleet-{command}.1 {command}");
        assert!(listed.lines().any(|line| line == asked), "{listed}");
        for section in ["EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"] {
            let heading = format!(".SH \"{section}\"");
            let plain = format!(".SH {section}\n");
            assert!(page.contains(&heading) || page.contains(&plain), "{page}");
        }
    }
    let output = armfleet(&["man", "pln"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the commands are init, "));
}

#[test]
fn the_page_of_the_fleet_file_has_every_key() {
    let page = printed(&["man", "armfleet.yaml"]);
    let keys = printed(&["explain"]);
    let keys = keys.split("\n\nProblems:").next().unwrap();
    let keys = keys.lines().filter(|line| line.starts_with("  "));
    let keys: Vec<_> = keys
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(keys.len() > 60, "{keys:?}");
    for key in keys {
        let key = key.replace('-', "\\-");
        assert!(page.contains(&format!("\\fB{key}\\fR\n")), "{key}");
    }
}

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]);
        for command in commands() {
            assert!(script.contains(&command), "{shell} does not know {command}");
        }
    }
    assert_eq!(armfleet(&["completions", "tcsh"]).status.code(), Some(4));
}

#[test]
fn bash_can_read_its_script() {
    let mut bash = Command::new("bash");
    let bash = bash.arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = bash.spawn().unwrap();
    let script = printed(&["completions", "bash"]);
    child
        .stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
}

/// A folder with a fleet file, and what a shell needs to complete armfleet's command lines there.
struct Shell {
    folder: tempfile::TempDir,
}

impl Shell {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let vm = |name: &str| {
            format!("  {name}: {{ arch: armhf, memory: 512MiB, boot: {{ cmdline: x }} }}\n")
        };
        let fleet = |names: &[&str]| {
            format!(
                "fleet: lab\nvms:\n{}",
                names.iter().map(|name| vm(name)).collect::<String>()
            )
        };
        fs::write(
            folder.path().join("fleet.yaml"),
            fleet(&["obs-01", "obs-02", "armhf-vm"]),
        )
        .unwrap();
        fs::write(folder.path().join("other.yaml"), fleet(&["elsewhere"])).unwrap();
        for shell in ["bash", "zsh", "fish"] {
            let script = printed(&["completions", shell]);
            fs::write(folder.path().join(shell), script).unwrap();
        }
        fs::rename(folder.path().join("zsh"), folder.path().join("_armfleet")).unwrap();
        Self { folder }
    }

    /// What a shell says that runs a script.
    fn says(&self, words: &[&str], script: &str) -> String {
        let armfleet = Path::new(env!("CARGO_BIN_EXE_armfleet")).parent().unwrap();
        let path = format!("{}:{}", armfleet.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .arg(script)
            .env("PATH", path)
            .env("HOME", self.folder.path())
            .env("TERM", "dumb")
            .env_remove("ARMFLEET_FILE")
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// What completes the last word of a command line.
type Completes = fn(&Shell, &[&str]) -> Vec<String>;

fn bash(shell: &Shell, line: &[&str]) -> Vec<String> {
    let last = line.len() - 1;
    let words = line
        .iter()
        .map(|word| format!("'{word}'"))
        .collect::<Vec<_>>()
        .join(" ");
    let script = format!(
        "source ./bash; COMP_WORDS=({words}); COMP_CWORD={last}; _armfleet armfleet '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        line[last],
        line[last - 1]
    );
    let said = shell.says(&["bash", "--noprofile", "--norc", "-c"], &script);
    said.lines().map(str::to_owned).collect()
}

fn fish(shell: &Shell, line: &[&str]) -> Vec<String> {
    let script = format!("source ./fish; complete -C '{}'", line.join(" "));
    let said = shell.says(&["fish", "--no-config", "-c"], &script);
    let lines = said.lines().map(|line| line.split('\t').next().unwrap());
    lines.map(str::to_owned).collect()
}

/// zsh completes at a terminal only: what it inserts is taken out of the line.
fn zsh(shell: &Shell, line: &[&str]) -> Vec<String> {
    let script = format!(
        r#"zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1=; fpath=($PWD \$fpath); autoload -Uz compinit; compinit -u -D; unset zle_bracketed_paste; unsetopt list_ambiguous"
zpty -w z "finish() {{ print -r -- \" \$BUFFER \"; exit }}; zle -N finish; bindkey '^X' finish"
zpty -n -w z $'{}\t\x18'
while zpty -r z part; do print -rn -- "$part"; done"#,
        line.join(" ")
    );
    let said = shell.says(&["zsh", "-f", "-c"], &script);
    said.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn shells_complete_names_of_vms_and_of_what_is_explained() {
    let shell = Shell::new();
    for (name, complete) in [("bash", bash as Completes), ("zsh", zsh), ("fish", fish)] {
        let assert_completes = |line: &[&str], wanted: &[&str], not: &str| {
            let line = [&["armfleet"], line].concat();
            let found = complete(&shell, &line);
            for wanted in wanted {
                assert!(
                    found.iter().any(|found| found == wanted),
                    "{name} {line:?}: {found:?}"
                );
            }
            assert!(
                !found.iter().any(|found| found == not),
                "{name} {line:?}: {found:?}"
            );
        };
        assert_completes(&["hold", "obs"], &["obs-01", "obs-02"], "armhf-vm");
        assert_completes(&["status", "arm"], &["armhf-vm"], "obs-01");
        assert_completes(&["boot", "list", "arm"], &["armhf-vm"], "obs-01");
        assert_completes(&["plan", "--vm", "obs"], &["obs-01", "obs-02"], "armhf-vm");
        assert_completes(
            &["show", "-f", "other.yaml", "els"],
            &["elsewhere"],
            "obs-01",
        );
        assert_completes(
            &["explain", "boot.se"],
            &["boot.seed", "boot.seed.kernel"],
            "boot.share",
        );
    }
}

/// What a terminal of so many columns shows.
fn shown_in(columns: usize, arguments: &str) -> Vec<String> {
    let program = env!("CARGO_BIN_EXE_armfleet");
    let mut script = Command::new("script");
    script
        .args([
            "-qec",
            &format!("stty cols {columns} rows 24; {program} {arguments}"),
            "/dev/null",
        ])
        .env("NO_COLOR", "1")
        .env_remove("COLUMNS")
        .stdin(Stdio::null());
    let shown = String::from_utf8(script.output().unwrap().stdout).unwrap();
    shown
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

#[test]
fn a_terminal_of_60_columns_gets_lines_broken_between_words() {
    for (arguments, part) in [
        ("explain boot.share", "boot share"),
        ("explain", "boot.share"),
        ("explain no-such-key", "lists all of them"),
        (
            "validate /there/is/no/such/fleet/file/in/any/folder.yaml",
            "/there/is/no/such/fleet/file/in/any/folder.yaml",
        ),
        ("plan --help", "--allow-removal"),
    ] {
        let wide = shown_in(400, arguments);
        assert!(
            wide.iter().any(|line| line.chars().count() > 60),
            "{wide:#?}"
        );
        let narrow = shown_in(60, arguments);
        assert!(narrow.iter().any(|line| line.contains(part)), "{narrow:#?}");
        for line in narrow.iter().filter(|line| line.chars().count() > 60) {
            assert_eq!(line.split_whitespace().count(), 1, "{line}");
        }
        // The same words, in the same order.
        let words = |lines: &[String]| lines.join(" ").split_whitespace().collect::<String>();
        assert_eq!(words(&narrow), words(&wide));
    }
}

/// Words with which a sentence is seldom plain.
const TROUBLE: [&str; 9] = [
    "nobody",
    "somebody",
    "is to be",
    "of which",
    "without leave",
    "what was",
    "so long",
    "told",
    "in turn",
];
/// Sentences with such words that were read once more, and are plain.
const PLAIN: [&str; 15] = [
    "and what was probably meant",
    "completes what was cut short",
    "what was changed",
    "what was reviewed",
    "what was moved",
    "does what was saved",
    "what was done",
    "what was applied",
    "at most so long",
    "the kernel is not told where",
    "takes one that it is told",
    "if the vm is to be installed",
    "so long as",
    "of which there are",
    "not so long",
];

/// The files of this repository's folder whose names end so.
fn goldens(folder: &str, ends: &[&str]) -> Vec<(String, String)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join(folder)];
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in folder
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            let name = entry.display().to_string();
            if entry.is_dir() {
                folders.push(entry);
            } else if ends.iter().any(|end| name.ends_with(end)) {
                texts.push((name, std::fs::read_to_string(entry).unwrap()));
            }
        }
    }
    texts
}

fn has_word(line: &str, word: &str) -> bool {
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    line.match_indices(word).any(|(at, _)| {
        !is_letter(line[..at].chars().next_back())
            && !is_letter(line[at + word.len()..].chars().next())
    })
}

#[test]
fn no_text_for_people_has_a_word_that_signals_trouble() {
    let mut texts = goldens("tests/cases", &["plan.txt"]);
    texts.extend(goldens("tests/invalid", &["stderr.txt"]));
    texts.extend(goldens("tests/formats", &[".txt", ".md"]));
    assert!(texts.len() > 250, "{}", texts.len());
    texts.push((
        "README.md".to_owned(),
        include_str!("../README.md").to_owned(),
    ));
    for command in commands() {
        let help = printed(&["help", &command]);
        texts.push((format!("armfleet help {command}"), help));
    }
    let topics = printed(&["explain"]);
    let topics = topics.lines().filter(|line| line.starts_with("  "));
    for topic in topics.filter_map(|line| line.split_whitespace().next()) {
        texts.push((
            format!("armfleet explain {topic}"),
            printed(&["explain", topic]),
        ));
    }
    let mut found = Vec::new();
    for (place, text) in &texts {
        for line in text.lines() {
            let words = line.to_lowercase();
            let is_trouble = TROUBLE.iter().any(|word| has_word(&words, word));
            if is_trouble && !PLAIN.iter().any(|plain| words.contains(plain)) {
                found.push(format!("{place}: {line}"));
            }
        }
    }
    assert!(found.is_empty(), "say it in plainer words: {found:#?}");
}
