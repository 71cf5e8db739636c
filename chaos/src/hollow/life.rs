//! How long a task lives by its own command, for fleets whose tasks do not all live alike.

use std::time::Duration;

use proto::v1::TaskInfo;

/// A task's end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    /// From RUNNING to the end.
    pub(super) duration: Duration,
    /// Whether it exits with something else than 0.
    pub(super) fails: bool,
}

/// Reads `sleep SECONDS`, `exit CODE` and `sleep SECONDS; exit CODE`; `None` for any other command.
pub(super) fn of(task: &TaskInfo) -> Option<Life> {
    let command = task.command.as_ref()?.value.as_deref()?;
    let mut life = Life {
        duration: Duration::ZERO,
        fails: false,
    };
    for part in command.split(';') {
        match part.trim().split_once(' ')? {
            ("sleep", seconds) => {
                life.duration = Duration::try_from_secs_f64(seconds.trim().parse().ok()?).ok()?;
            }
            ("exit", code) => life.fails = code.trim().parse::<u8>().ok()? != 0,
            _ => return None,
        }
    }
    Some(life)
}

#[cfg(test)]
mod tests {
    use proto::v1::CommandInfo;

    use super::*;

    fn of_command(command: &str) -> Option<(u128, bool)> {
        let task = TaskInfo {
            command: Some(CommandInfo {
                value: Some(command.to_owned()),
                ..CommandInfo::default()
            }),
            ..TaskInfo::default()
        };
        of(&task).map(|life| (life.duration.as_millis(), life.fails))
    }

    #[test]
    fn sleeps_and_exits_are_read_and_other_commands_run_for_ever() {
        assert_eq!(of_command("sleep 0.250"), Some((250, false)));
        assert_eq!(of_command("exit 1"), Some((0, true)));
        assert_eq!(of_command("sleep 2; exit 0"), Some((2000, false)));
        for command in ["", "sleep", "sleep -1", "sleep x", "python app.py"] {
            assert_eq!(of_command(command), None, "{command}");
        }
    }
}
