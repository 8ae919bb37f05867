//! Where what outlives the process is kept: notes of loads that took it down, or did not come back.

use super::Trouble;
use crate::lifecycle::LoadNotes;
use std::env;
use std::path::PathBuf;
use std::str::FromStr;

/// The folder of what outlives the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StateFolder {
    /// Where the system has a place for it.
    #[default]
    Usual,
    /// Nothing outlives the process.
    Off,
    At(PathBuf),
}

impl FromStr for StateFolder {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "off" { Self::Off } else { Self::At(text.into()) })
    }
}

impl StateFolder {
    /// The notes of loads in it. A folder that was named must be one that can be written to; without the usual one
    /// rserve runs all the same.
    pub fn notes(&self) -> Result<LoadNotes, Trouble> {
        let (folder, named) = match self {
            Self::Off => return Ok(LoadNotes::default()),
            Self::At(folder) => (folder.clone(), true),
            Self::Usual => match usual(|name| env::var(name).ok()) {
                Some(folder) => (folder, false),
                None => return Ok(LoadNotes::default()),
            },
        };
        match LoadNotes::open(&folder.join("loads")) {
            Ok(notes) => Ok(notes),
            Err(error) if named => Err(Trouble::CouldNotRun(format!(
                "cannot write to `{}`: {error}; `--state` names a folder for what outlives the process, or is \"off\"",
                folder.display()
            ))),
            Err(error) => {
                let help = "`--state` names another folder, or is \"off\"";
                tracing::info!(folder = %folder.display(), %error, help, "models that take rserve down are not remembered");
                Ok(LoadNotes::default())
            }
        }
    }
}

/// The place that systemd gives a service (`StateDirectory=`), else that of the user.
fn usual(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let path = |name: &str| variable(name).filter(|path| path.starts_with('/'));
    if let Some(folders) = path("STATE_DIRECTORY") {
        return folders.split(':').next().map(PathBuf::from);
    }
    let user = path("XDG_STATE_HOME").or_else(|| Some(path("HOME")? + "/.local/state"));
    Some(PathBuf::from(user?).join("rserve"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_folder_is_the_services_or_the_users() {
        let at = |all: &[(&str, &str)]| {
            usual(|name| all.iter().find(|(n, _)| *n == name).map(|(_, path)| (*path).to_owned()))
        };
        let home = ("HOME", "/home/me");
        assert_eq!(
            at(&[home, ("STATE_DIRECTORY", "/var/lib/rserve:/var/lib/b")]),
            Some("/var/lib/rserve".into())
        );
        assert_eq!(at(&[home, ("XDG_STATE_HOME", "/s")]), Some("/s/rserve".into()));
        assert_eq!(at(&[home]), Some("/home/me/.local/state/rserve".into()));
        assert_eq!(at(&[("HOME", "")]), None);
    }

    #[test]
    fn a_folder_that_is_named_must_be_there_to_write_to() {
        let folder = tempfile::tempdir().unwrap();
        let named: StateFolder = folder.path().join("new").to_str().unwrap().parse().unwrap();
        assert!(named.notes().is_ok());
        assert!(folder.path().join("new/loads").is_dir());
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(StateFolder::At(folder.path().join("file")).notes().is_err());
        assert_eq!("off".parse(), Ok(StateFolder::Off));
    }
}
