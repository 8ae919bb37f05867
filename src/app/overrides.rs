//! What the command line says in the place of the files.

use std::net::SocketAddr;

#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub listen: Option<SocketAddr>,
    pub admin: Listen,
}

/// Where a listener that there need not be is to listen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Listen {
    /// Where the files say.
    #[default]
    AsPlanned,
    Off,
    At(SocketAddr),
}

impl Listen {
    /// The address, where the files say `planned`; `None` for no listener.
    pub fn or(&self, planned: Option<SocketAddr>) -> Option<SocketAddr> {
        match self {
            Self::AsPlanned => planned,
            Self::Off => None,
            Self::At(address) => Some(*address),
        }
    }
}
