//! What the command line says in the place of the files.

use crate::spec::Address;

/// Settings of the command line that take the place of those in the files.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub listen: Option<Address>,
    pub admin: Listen,
}

/// The address of a listener that may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Listen {
    /// Where the files say.
    #[default]
    AsPlanned,
    Off,
    At(Address),
}

impl Listen {
    /// The address, where the files say `planned`; `None` for no listener.
    pub fn or(&self, planned: Option<&Address>) -> Option<Address> {
        match self {
            Self::AsPlanned => planned.cloned(),
            Self::Off => None,
            Self::At(address) => Some(address.clone()),
        }
    }
}
