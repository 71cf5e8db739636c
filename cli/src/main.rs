//! The one binary: every subcommand is one file under `commands/`.

fn main() {}
