//! The Prometheus text exposition format, version 0.0.4.

use std::fmt::Write;

use super::metrics::{Kind, Sample};

/// As Prometheus expects it.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One sample as a series.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    /// Metric name: `mesoraft_…`, snake case; counters end in `_total`, times in `_seconds`.
    name: String,
    /// `{a="b"}`, or empty.
    labels: String,
}

/// The text: samples grouped by metric, each group under its `# TYPE`.
pub(super) fn text(samples: &[Sample]) -> String {
    let mut all: Vec<(Series, &Sample)> = samples.iter().map(|sample| (series(sample), sample)).collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut text = String::new();
    let mut last = "";
    for (series, sample) in &all {
        if series.name != last {
            let kind = match sample.kind {
                Kind::Gauge => "gauge",
                Kind::Counter => "counter",
            };
            line(&mut text, format_args!("# TYPE {} {kind}", series.name));
            last = &series.name;
        }
        line(
            &mut text,
            format_args!("{}{} {}", series.name, series.labels, sample.value),
        );
    }
    text
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    writeln!(text, "{content}").ok();
}

fn series(sample: &Sample) -> Series {
    if let Some(series) = task_reason(&sample.name) {
        return series;
    }
    let mut name = String::from("mesoraft_");
    name.extend(
        sample
            .name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }),
    );
    if let Some(stem) = name.strip_suffix("_secs") {
        name = format!("{stem}_seconds");
    }
    match sample.kind {
        Kind::Counter if !name.ends_with("_total") => name.push_str("_total"),
        // Only counters may end so.
        Kind::Gauge if name.ends_with("_total") => {
            let stem = name.strip_suffix("_total").unwrap_or(&name).to_owned();
            name = stem;
        }
        Kind::Counter | Kind::Gauge => {}
    }
    Series {
        name,
        labels: String::new(),
    }
}

/// `master/task_failed/source_executor/reason_command_executor_failed` is one metric with three labels.
fn task_reason(name: &str) -> Option<Series> {
    let mut parts = name.strip_prefix("master/task_")?.split('/');
    let (state, source, reason) = (parts.next()?, parts.next()?, parts.next()?);
    let source = source.strip_prefix("source_")?;
    let reason = reason.strip_prefix("reason_")?;
    let labels = format!("{{reason=\"{reason}\",source=\"{source}\",state=\"{state}\"}}");
    Some(Series {
        name: "mesoraft_master_task_updates_total".to_owned(),
        labels,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_grouped_under_their_type() {
        let sample = |name: &str, kind, value| Sample {
            name: name.to_owned(),
            kind,
            value,
        };
        let samples = [
            sample("master/uptime_secs", Kind::Gauge, 1.5),
            sample(
                "master/task_failed/source_slave/reason_executor_terminated",
                Kind::Counter,
                1.0,
            ),
            sample("master/cpus_total", Kind::Gauge, 4.0),
            sample("master/task_killed/source_executor/reason_x", Kind::Counter, 3.0),
            sample("master/messages_accept", Kind::Counter, 2.0),
        ];
        assert_eq!(
            text(&samples),
            "# TYPE mesoraft_master_cpus gauge\n\
             mesoraft_master_cpus 4\n\
             # TYPE mesoraft_master_messages_accept_total counter\n\
             mesoraft_master_messages_accept_total 2\n\
             # TYPE mesoraft_master_task_updates_total counter\n\
             mesoraft_master_task_updates_total{reason=\"executor_terminated\",source=\"slave\",state=\"failed\"} 1\n\
             mesoraft_master_task_updates_total{reason=\"x\",source=\"executor\",state=\"killed\"} 3\n\
             # TYPE mesoraft_master_uptime_seconds gauge\n\
             mesoraft_master_uptime_seconds 1.5\n"
        );
    }
}
