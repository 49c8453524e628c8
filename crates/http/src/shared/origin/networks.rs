//! Addresses and networks that something is granted to.

use std::net::IpAddr;

use ipnet::IpNet;

/// Addresses that something is granted to: those of trusted proxies, or of operators.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl From<Vec<IpNet>> for Networks {
    fn from(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }
}

impl Networks {
    /// Whether an address is one of them. An IPv4 address inside IPv6 is the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}
