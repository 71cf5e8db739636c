//! Checks and health checks of tasks.

use super::command::command;
use proto::v1::{self, check_info, health_check};

pub(super) fn check(info: &v1::CheckInfo) -> Result<(), String> {
    let kind = info.r#type.ok_or("CheckInfo must specify 'type'")?;
    match check_info::Type::try_from(kind) {
        Ok(check_info::Type::Command) => {
            let check = info
                .command
                .as_ref()
                .ok_or("Expecting 'command' to be set for COMMAND check")?;
            command(&check.command).map_err(|why| format!("Check's `CommandInfo` is invalid: {why}"))?;
        }
        Ok(check_info::Type::Http) => {
            let http = info.http.as_ref().ok_or("Expecting 'http' to be set for HTTP check")?;
            absolute_path(http.path.as_deref(), "HTTP check")?;
        }
        Ok(check_info::Type::Tcp) => {
            info.tcp.as_ref().ok_or("Expecting 'tcp' to be set for TCP check")?;
        }
        Ok(check_info::Type::Unknown) | Err(_) => return Err("'UNKNOWN' is not a valid check type".into()),
    }
    non_negative(&[
        ("delay_seconds", info.delay_seconds),
        ("interval_seconds", info.interval_seconds),
        ("timeout_seconds", info.timeout_seconds),
    ])
}

pub(super) fn health_check(info: &v1::HealthCheck) -> Result<(), String> {
    let kind = info.r#type.ok_or("HealthCheck must specify 'type'")?;
    match health_check::Type::try_from(kind) {
        Ok(health_check::Type::Command) => {
            let check = info
                .command
                .as_ref()
                .ok_or("Expecting 'command' to be set for COMMAND health check")?;
            command(check).map_err(|why| format!("Health check's `CommandInfo` is invalid: {why}"))?;
        }
        Ok(health_check::Type::Http) => {
            let http = info
                .http
                .as_ref()
                .ok_or("Expecting 'http' to be set for HTTP health check")?;
            if let Some(scheme) = http
                .scheme
                .as_deref()
                .filter(|scheme| !matches!(*scheme, "http" | "https"))
            {
                return Err(format!("Unsupported HTTP health check scheme: '{scheme}'"));
            }
            absolute_path(http.path.as_deref(), "HTTP health check")?;
        }
        Ok(health_check::Type::Tcp) => {
            info.tcp
                .as_ref()
                .ok_or("Expecting 'tcp' to be set for TCP health check")?;
        }
        Ok(health_check::Type::Unknown) | Err(_) => return Err("'UNKNOWN' is not a valid health check type".into()),
    }
    non_negative(&[
        ("delay_seconds", info.delay_seconds),
        ("grace_period_seconds", info.grace_period_seconds),
        ("interval_seconds", info.interval_seconds),
        ("timeout_seconds", info.timeout_seconds),
    ])
}

fn absolute_path(path: Option<&str>, of: &str) -> Result<(), String> {
    match path {
        Some(path) if !path.starts_with('/') => Err(format!("The path '{path}' of {of} must start with '/'")),
        _ => Ok(()),
    }
}

fn non_negative(fields: &[(&str, Option<f64>)]) -> Result<(), String> {
    match fields.iter().find(|(_, value)| value.is_some_and(|value| value < 0.0)) {
        Some((name, _)) => Err(format!("Expecting '{name}' to be non-negative")),
        None => Ok(()),
    }
}
