//! What this master calls itself.

/// The Mesos version whose protocol this master speaks. Purely numeric: clients parse it, and some crash otherwise.
pub const MESOS_VERSION: &str = "1.12.0";

/// Our own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
