//! The list of masters a client is started with, as given to `--master`.

use std::str::FromStr;

/// Port of a master whose port is not given.
const DEFAULT_PORT: u16 = 5050;

/// One or more masters, each a `host:port` text, in the order given and without repetition. Any member of the cluster
/// will do; the others are learnt from it only as far as they lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterList(Vec<String>);

/// Why a text is not a list of masters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MasterListError {
    /// Nothing is named.
    #[error("the list of masters '{0}' names no master: expected host:port[,host:port…]")]
    Empty(String),
    /// A ZooKeeper URL.
    #[error("masters '{0}': a client finds the leading master from a list host:port,host:port, not through ZooKeeper")]
    ZooKeeper(String),
    /// One entry is not `host:port`.
    #[error("master '{entry}' in '{list}' is not host:port")]
    BadEntry {
        /// The entry that does not parse.
        entry: String,
        /// The whole text.
        list: String,
    },
}

impl MasterList {
    /// The `host:port` texts, at least one.
    pub fn addresses(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for MasterList {
    type Err = MasterListError;

    /// Reads `host[:port][,host[:port]…]`; also tolerates `http://` before an entry, `master@` and a trailing `/`.
    fn from_str(list: &str) -> Result<Self, MasterListError> {
        if list.trim_start().starts_with("zk://") {
            return Err(MasterListError::ZooKeeper(list.to_owned()));
        }
        let mut addresses: Vec<String> = Vec::new();
        for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let address = parse_entry(entry).ok_or_else(|| MasterListError::BadEntry {
                entry: entry.to_owned(),
                list: list.to_owned(),
            })?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(MasterListError::Empty(list.to_owned()));
        }
        Ok(MasterList(addresses))
    }
}

fn parse_entry(entry: &str) -> Option<String> {
    let rest = entry.strip_prefix("http://").unwrap_or(entry);
    let rest = rest.strip_prefix("master@").unwrap_or(rest);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) => (host, port.parse::<u16>().ok().filter(|port| *port != 0)?),
        None => (rest, DEFAULT_PORT),
    };
    let host_ok = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '@' | ':'));
    host_ok.then(|| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_in_order_without_repetition() {
        let list: MasterList = "m1:5050, http://m2:5051/,master@10.0.0.3:5052,m1:5050,m4"
            .parse()
            .unwrap();
        assert_eq!(list.addresses(), ["m1:5050", "m2:5051", "10.0.0.3:5052", "m4:5050"]);
    }

    #[test]
    fn what_is_no_list_is_refused_with_the_entry_named() {
        assert_eq!("".parse::<MasterList>(), Err(MasterListError::Empty(String::new())));
        assert!(matches!(
            "zk://a:2181/mesos".parse::<MasterList>(),
            Err(MasterListError::ZooKeeper(_))
        ));
        let error = "m1:5050,m2:port".parse::<MasterList>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "master 'm2:port' in 'm1:5050,m2:port' is not host:port"
        );
    }
}
