//! The page as HTML, in one file. Every text that comes from a history goes through [`escape`].

use super::svg::picture;
use super::{Checked, Report};
use crate::check::{Conclusion, Finding};
use crate::history::Micros;

const STYLE: &str = include_str!("page.css");

/// Text as it may stand in HTML, also between quotes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // XML knows no other control characters.
            control if control.is_control() && control != '\n' && control != '\t' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A time for people: three digits and a unit.
pub(super) fn span(micros: Micros) -> String {
    let seconds = micros as f64 / 1e6;
    match micros {
        0 => "0".to_owned(),
        1..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{} ms", trimmed(seconds * 1e3)),
        10_000..1_000_000 => format!("{:.0} ms", seconds * 1e3),
        1_000_000..120_000_000 => format!("{} s", trimmed(seconds)),
        120_000_000..7_200_000_000 => format!("{} min", trimmed(seconds / 60.0)),
        _ => format!("{} h", trimmed(seconds / 3600.0)),
    }
}

fn trimmed(number: f64) -> String {
    let text = if number < 10.0 {
        format!("{number:.2}")
    } else {
        format!("{number:.1}")
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The page.
pub(super) fn page(report: &Report) -> String {
    let run = &report.run;
    let title = format!("Chaos run {} on {} masters", run.seed, run.masters);
    let body = [
        format!("<h1>{}</h1>", escape(&title)),
        format!("<p class='soft'>{}</p>", escape(&subtitle(report))),
        banner(report),
        facts(report),
        "<h2>What happened</h2>".to_owned(),
        picture(report),
        "<p class='soft'>Shaded: no write was acknowledged for half a second or longer. Point at a bar for details.</p>".to_owned(),
        checks(report),
        gaps(report),
        kinds(report),
        faults(report),
        coverage(report),
        format!("<h2>Again</h2><pre>{}</pre>", escape(&report.reproduce)),
        format!(
            "<p class='soft'>Faults: {}. Workloads: {}.</p>",
            escape(&or_none(&run.faults.join(", "))),
            escape(&or_none(&run.workloads.join(", ")))
        ),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'/><meta name='viewport' content='width=device-width'/>\
         <title>{}</title><style>{STYLE}</style></head><body>\n{}\n</body></html>\n",
        escape(&title),
        body.join("\n")
    )
}

fn subtitle(report: &Report) -> String {
    let run = &report.run;
    let parts = [
        run.harness.clone(),
        format!("mesoraft {}", or_none(&run.version)),
        run.machine.clone(),
        date(run.started_at),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(" · ")
}

fn or_none(text: &str) -> String {
    if text.is_empty() {
        "unknown".to_owned()
    } else {
        text.to_owned()
    }
}

/// Microseconds since 1970 as a date; empty for a simulation, which has none.
fn date(micros: u64) -> String {
    if micros == 0 {
        return String::new();
    }
    let seconds = micros / 1_000_000;
    let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let months = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in months {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!(
        "{year}-{month:02}-{:02} {:02}:{:02} UTC",
        days + 1,
        of_day / 3600,
        of_day / 60 % 60
    )
}

fn banner(report: &Report) -> String {
    let (class, word) = match report.conclusion {
        Conclusion::Held => ("held", "Everything held"),
        Conclusion::Violated => ("violated", "Violated"),
        Conclusion::NotDecided => ("undecided", "Not decided"),
    };
    let mut lines: Vec<String> = Vec::new();
    let broken = |checked: &&Checked| checked.verdict.is_violated();
    lines.extend(
        report
            .checks
            .iter()
            .filter(broken)
            .map(|checked| format!("broken: {}", checked.rule)),
    );
    lines.extend(report.defects.iter().map(|defect| format!("defect: {defect}")));
    lines.extend(report.not_valid.iter().map(|reason| format!("not valid: {reason}")));
    let lines: String = lines.iter().map(|line| format!("<p>{}</p>", escape(line))).collect();
    format!("<div class='banner {class}'><b>{word}</b>{lines}</div>")
}

fn facts(report: &Report) -> String {
    let looked_at: u64 = report
        .checks
        .iter()
        .map(|checked| match checked.verdict.finding {
            Finding::Held { looked_at } => looked_at,
            _ => 0,
        })
        .sum();
    let longest = report
        .gaps
        .first()
        .map_or("–".to_owned(), |gap| span(gap.to - gap.from));
    let terms = report.leaderships.iter().map(|leadership| leadership.term).max();
    let boxes = [
        ("length", span(report.end)),
        ("acknowledged calls", report.acknowledged.to_string()),
        ("faults", report.faults.len().to_string()),
        ("last term", terms.map_or("–".to_owned(), |term| term.to_string())),
        ("longest write gap", longest),
        ("facts compared", looked_at.to_string()),
    ];
    let boxes: String = boxes
        .iter()
        .map(|(name, value)| format!("<div><span>{name}</span><b>{}</b></div>", escape(value)))
        .collect();
    format!("<div class='facts'>{boxes}</div>")
}

fn checks(report: &Report) -> String {
    let mut rows = String::new();
    for checked in &report.checks {
        let (class, word, details) = match &checked.verdict.finding {
            Finding::Held { looked_at } => ("good", "held", format!("{looked_at} looked at")),
            Finding::NothingToCheck => ("odd", "nothing to check", String::new()),
            Finding::Undecided { why } => ("odd", "undecided", escape(why)),
            Finding::Violated { count, violations } => {
                let items = violations.iter().map(|violation| {
                    let lines: Vec<String> = violation.evidence.iter().map(usize::to_string).collect();
                    format!(
                        "<li>{} <span class='soft'>(lines {})</span></li>",
                        escape(&violation.what),
                        lines.join(", ")
                    )
                });
                let items: String = items.collect();
                (
                    "bad",
                    "violated",
                    format!("{count} times<ul class='evidence'>{items}</ul>"),
                )
            }
        };
        rows.push_str(&format!(
            "<tr><td><code>{}</code><br/><span class='soft'>{}</span></td><td class='{class}'>{word}</td><td>{details}</td></tr>",
            escape(&checked.verdict.check),
            escape(&checked.rule)
        ));
    }
    format!("<h2>What was checked</h2><table><tr><th>check</th><th>verdict</th><th></th></tr>{rows}</table>")
}

fn gaps(report: &Report) -> String {
    let mut rows = String::new();
    for gap in &report.gaps {
        let named = report.faults.iter().filter(|fault| gap.faults.contains(&fault.number));
        let named: Vec<String> = named
            .map(|fault| format!("{} {}", fault.kind, fault.targets.join(", ")))
            .collect();
        rows.push_str(&format!(
            "<tr><td class='n'>{}</td><td class='n'>{}</td><td>{}</td></tr>",
            span(gap.to - gap.from),
            span(gap.from),
            escape(&named.join("; "))
        ));
    }
    format!(
        "<h2>Longest times without an acknowledged write</h2><table><tr><th class='n'>length</th><th class='n'>from</th>\
         <th>faults at that time or until 2 s before</th></tr>{rows}</table>"
    )
}

fn kinds(report: &Report) -> String {
    let mut rows = String::new();
    for kind in &report.kinds {
        let latencies: String = kind
            .latency
            .iter()
            .map(|latency| format!("<td class='n'>{}</td>", span(*latency)))
            .collect();
        rows.push_str(&format!(
            "<tr><td>{}</td><td class='n'>{}</td><td class='n'>{}</td><td class='n'>{}</td>{latencies}</tr>",
            escape(&kind.kind),
            kind.acknowledged,
            kind.refused,
            kind.unknown
        ));
    }
    format!(
        "<h2>Calls</h2><table><tr><th>kind</th><th class='n'>acknowledged</th><th class='n'>refused</th><th class='n'>unknown</th>\
         <th class='n'>p50</th><th class='n'>p90</th><th class='n'>p99</th><th class='n'>worst</th></tr>{rows}</table>"
    )
}

fn faults(report: &Report) -> String {
    let mut rows = String::new();
    for fault in &report.faults {
        rows.push_str(&format!(
            "<tr><td class='n'>{}</td><td class='n'>{}</td><td>{}</td><td>{}</td><td>{}</td><td class='n'>{}</td></tr>",
            span(fault.from),
            fault
                .to
                .map_or("no end".to_owned(), |to| span(to.saturating_sub(fault.from))),
            escape(&fault.kind),
            escape(&fault.targets.join(", ")),
            escape(&fault.detail),
            span(fault.longest_gap)
        ));
    }
    format!(
        "<h2>Faults</h2><details><summary>{} faults</summary><table><tr><th class='n'>from</th><th class='n'>length</th><th>kind</th>\
         <th>targets</th><th>detail</th><th class='n'>longest write gap</th></tr>{rows}</table></details>",
        report.faults.len()
    )
}

fn coverage(report: &Report) -> String {
    let mut rows = String::new();
    for (name, count) in &report.coverage {
        let (class, shown) = if *count == 0 {
            ("bad", "never reached".to_owned())
        } else {
            ("", count.to_string())
        };
        rows.push_str(&format!(
            "<div class='{class}'><span>{}</span><span>{shown}</span></div>",
            escape(name)
        ));
    }
    format!("<h2>What was reached</h2><div class='columns'>{rows}</div>")
}
