//! Addresses and networks that something is granted to.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// Addresses that something is granted to: those of trusted proxies, or of operators.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

/// Why a list of networks can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address nor a network such as 10.0.0.0/8")]
pub struct NotANetwork(String);

impl FromStr for Networks {
    type Err = NotANetwork;

    /// Addresses and networks in CIDR notation, separated by commas or spaces.
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        text.split([',', ' '])
            .filter(|entry| !entry.is_empty())
            .map(|entry| {
                entry
                    .parse::<IpNet>()
                    .or_else(|_| entry.parse::<IpAddr>().map(IpNet::from))
                    .map_err(|_| NotANetwork(entry.to_owned()))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

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
