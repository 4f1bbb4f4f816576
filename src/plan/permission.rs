//! What a user can permit on the command line, where a plan refuses without it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An option with which a refused change is made. Reports and saved plans hold its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(inline, with = "String")]
pub enum Permission {
    /// The removal of so many VMs.
    Removal(usize),
}

const REMOVAL: &str = "--allow-removal=";

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removal(count) => write!(f, "{REMOVAL}{count}"),
        }
    }
}

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let count = text.strip_prefix(REMOVAL);
        let count = count.and_then(|count| count.parse().ok());
        count
            .map(Self::Removal)
            .ok_or_else(|| UnknownPermission(text.to_owned()))
    }
}

impl TryFrom<String> for Permission {
    type Error = UnknownPermission;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Permission> for String {
    fn from(permission: Permission) -> Self {
        permission.to_string()
    }
}

/// A permission that no version has so far.
#[derive(Debug, thiserror::Error)]
#[error("{0} is no option that permits something")]
pub struct UnknownPermission(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_reads_back_from_its_text() {
        let removal = Permission::Removal(3);
        assert_eq!(removal.to_string().parse::<Permission>().unwrap(), removal);
        for other in ["--allow-removal", "--allow-removal=some", "--force=3", ""] {
            assert!(other.parse::<Permission>().is_err(), "{other}");
        }
    }
}
