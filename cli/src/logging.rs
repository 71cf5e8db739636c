//! Log output: to standard error, as text or JSON lines.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// Environment variable with a finer filter than `--logging_level`, in the syntax of `tracing`.
const FILTER_VARIABLE: &str = "RUST_LOG";

/// Flags about the log, the same for every long-running subcommand.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct LogFlags {
    /// Least severe messages that are logged. RUST_LOG, a tracing filter, is finer and wins
    #[arg(
        long = "logging_level",
        env = "MESOS_LOGGING_LEVEL",
        value_name = "LEVEL",
        default_value = "INFO",
        ignore_case = true
    )]
    pub(crate) logging_level: Level,

    /// Form of the log on standard error
    #[arg(
        long = "log_format",
        env = "MESOS_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub(crate) log_format: Format,
}

/// Severities; the first four are Mesos's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum Level {
    Debug,
    Info,
    Warning,
    Error,
    Trace,
}

/// Forms of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

impl Level {
    fn directive(self) -> &'static str {
        match self {
            // The libraries below speak at every heartbeat when they may; what openraft warns of (a peer that does not
            // answer) is in the status.
            Level::Trace => "trace",
            Level::Debug => "debug,openraft=info,sled=info,h2=info,hyper=info,tonic=info,tower=info",
            Level::Info => "info,openraft=error,sled=warn",
            Level::Warning => "warn,openraft=error",
            Level::Error => "error",
        }
    }
}

/// Sets up logging for this process; to be called once.
pub(crate) fn start(flags: &LogFlags) -> anyhow::Result<()> {
    let filter = match std::env::var(FILTER_VARIABLE) {
        Ok(filter) => EnvFilter::try_new(&filter)
            .map_err(|error| anyhow::anyhow!("{FILTER_VARIABLE}='{filter}' is no log filter: {error}"))?,
        Err(_) => EnvFilter::new(flags.logging_level.directive()),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match flags.log_format {
        Format::Text => builder.with_ansi(false).try_init(),
        Format::Json => builder.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging could not be started: {error}"))
}

/// Sets up quiet logging for commands that talk to a person: warnings only, unless `RUST_LOG` asks for more.
pub(crate) fn start_quiet() -> anyhow::Result<()> {
    start(&LogFlags {
        logging_level: Level::Error,
        log_format: Format::Text,
    })
}
