//! Version and build of this program, as the APIs show them.

use proto::v1::VersionInfo;

use crate::version::MESOS_VERSION;

/// Seconds since the Unix epoch of the build, if the builder named them (`SOURCE_DATE_EPOCH`, the reproducible-builds
/// convention). Builds from the same source are equal otherwise.
const BUILD_EPOCH: Option<&str> = option_env!("SOURCE_DATE_EPOCH");

/// The version is purely numeric, since clients parse it.
pub(super) fn version_info() -> VersionInfo {
    let build_time: f64 = BUILD_EPOCH.and_then(|text| text.parse().ok()).unwrap_or(0.0);
    VersionInfo {
        version: MESOS_VERSION.to_owned(),
        build_date: Some(String::new()),
        build_time: Some(build_time),
        build_user: Some(String::new()),
        ..VersionInfo::default()
    }
}
