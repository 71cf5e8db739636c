//! The picture of a run: phases, leaders, faults, calls per second and latency over one axis of time.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Report;
use super::html::{escape, span};
use crate::history::{Micros, Phase};

/// Units of the drawing; the page scales it.
const WIDTH: f64 = 1200.0;
/// Where time begins, right of the names.
const LEFT: f64 = 150.0;
/// Height of a row with bars.
const ROW: f64 = 16.0;
/// Height of a curve.
const CURVE: f64 = 110.0;
/// A gap at least so long is shaded: shorter ones are what an election costs.
const SHADED_MIN: Micros = 500_000;
/// Colours of leaders, by their order of node ids.
const COLOURS: [&str; 5] = ["--blue", "--teal", "--sand", "--good", "--grey"];

struct Drawing<'a> {
    report: &'a Report,
    text: String,
    y: f64,
}

/// The whole picture.
pub(super) fn picture(report: &Report) -> String {
    let mut drawing = Drawing {
        report,
        text: String::new(),
        y: 14.0,
    };
    drawing.phases();
    drawing.leaders();
    drawing.faults();
    drawing.rates();
    drawing.latencies();
    drawing.axis();
    let bottom = drawing.y;
    let mut shades = String::new();
    for gap in report.gaps.iter().filter(|gap| gap.to - gap.from >= SHADED_MIN) {
        let (from, to) = (drawing.x(gap.from), drawing.x(gap.to));
        let title = format!("{} without an acknowledged write", span(gap.to - gap.from));
        shades.push_str(&format!(
            "<rect x='{from:.1}' y='20' width='{:.1}' height='{:.1}' fill='var(--bad)' opacity='.13'><title>{title}</title></rect>",
            (to - from).max(1.0),
            bottom - 38.0
        ));
    }
    format!(
        "<svg viewBox='0 0 {WIDTH} {bottom:.0}' role='img' aria-label='The run over time'>{shades}{}</svg>",
        drawing.text
    )
}

impl Drawing<'_> {
    fn x(&self, at: Micros) -> f64 {
        LEFT + (WIDTH - LEFT - 10.0) * at as f64 / self.report.end.max(1) as f64
    }

    fn put(&mut self, arguments: std::fmt::Arguments<'_>) {
        self.text.write_fmt(arguments).expect("a string takes everything");
    }

    fn name(&mut self, name: &str) {
        let y = self.y + ROW - 4.0;
        self.put(format_args!(
            "<text class='name' x='{:.0}' y='{y:.1}' text-anchor='end'>{}</text>",
            LEFT - 10.0,
            escape(name)
        ));
    }

    /// A bar in the current row.
    fn bar(&mut self, from: Micros, to: Micros, colour: &str, title: &str) {
        let (x, end) = (self.x(from), self.x(to));
        let (y, width, height) = (self.y + 2.0, (end - x).max(2.0), ROW - 4.0);
        self.put(format_args!(
            "<rect x='{x:.1}' y='{y:.1}' width='{width:.1}' height='{height}' rx='2' fill='var({colour})'><title>{}</title></rect>",
            escape(title)
        ));
    }

    fn phases(&mut self) {
        /// Labels nearer to each other than this would overlap.
        const LABEL_MIN: f64 = 48.0;
        let phases = self.report.phases.clone();
        let y = self.y;
        for (index, (at, phase)) in phases.iter().enumerate() {
            let name = match phase {
                Phase::Begin => "begin",
                Phase::Faults => "faults",
                Phase::Healed => "healed",
                Phase::End => "end",
            };
            let x = self.x(*at);
            self.put(format_args!(
                "<line class='rule' x1='{x:.1}' x2='{x:.1}' y1='2' y2='20'/>"
            ));
            let next = phases.get(index + 1).map_or(WIDTH + LABEL_MIN, |(at, _)| self.x(*at));
            // The label of the last phase would leave the picture; of two short phases the later one is named.
            if phase == &Phase::End && x > WIDTH - LABEL_MIN {
                self.put(format_args!(
                    "<text x='{WIDTH}' y='{:.1}' text-anchor='end'>{name}</text>",
                    y - 3.0
                ));
            } else if next - x >= LABEL_MIN {
                self.put(format_args!(
                    "<text x='{:.1}' y='{:.1}'>{name}</text>",
                    x + 3.0,
                    y - 3.0
                ));
            }
        }
        self.y += 10.0;
    }

    fn leaders(&mut self) {
        let mut nodes: BTreeMap<u64, Vec<(Micros, Micros, u64)>> = BTreeMap::new();
        for leadership in &self.report.leaderships {
            let list = nodes.entry(leadership.node).or_default();
            list.push((leadership.from, leadership.to, leadership.term));
        }
        for (index, (node, list)) in nodes.into_iter().enumerate() {
            self.name(&format!("node {node} leads"));
            for (from, to, term) in list {
                let title = format!("node {node} leads term {term}, seen for {}", span(to - from));
                self.bar(from, to, COLOURS[index % COLOURS.len()], &title);
                if self.x(to) - self.x(from) > 26.0 {
                    let (x, y) = ((self.x(from) + self.x(to)) / 2.0, self.y + ROW - 4.5);
                    self.put(format_args!(
                        "<text x='{x:.1}' y='{y:.1}' text-anchor='middle' style='fill:var(--paper);font-size:10px'>{term}</text>"
                    ));
                }
            }
            self.y += ROW;
        }
        self.y += 8.0;
    }

    fn faults(&mut self) {
        let mut kinds: BTreeMap<String, Vec<(Micros, Micros, String)>> = BTreeMap::new();
        for fault in &self.report.faults {
            let title = format!(
                "{} {} ({}), longest gap {}",
                fault.kind,
                fault.targets.join(", "),
                fault.detail,
                span(fault.longest_gap)
            );
            let to = fault.to.unwrap_or(self.report.end);
            kinds
                .entry(fault.kind.clone())
                .or_default()
                .push((fault.from, to, title));
        }
        for (kind, list) in kinds {
            self.name(&kind);
            for (from, to, title) in list {
                self.bar(from, to, "--bad", &title);
            }
            self.y += ROW;
        }
        self.y += 14.0;
    }

    /// A frame for a curve; returns its upper end.
    fn frame(&mut self, title: &str, marks: &[(f64, String)]) -> f64 {
        let top = self.y;
        self.put(format_args!(
            "<text class='name' x='{:.0}' y='{:.1}' text-anchor='end'>{title}</text>",
            LEFT - 40.0,
            top + 12.0
        ));
        for (part, mark) in marks {
            let y = top + CURVE * (1.0 - part);
            self.put(format_args!(
                "<line class='rule' x1='{LEFT}' x2='{:.0}' y1='{y:.1}' y2='{y:.1}'/><text x='{:.0}' y='{:.1}' text-anchor='end'>{mark}</text>",
                WIDTH - 10.0,
                LEFT - 6.0,
                y + 4.0
            ));
        }
        self.y += CURVE + 24.0;
        top
    }

    fn rates(&mut self) {
        let report = self.report;
        let per_second = |count: u64, width: Micros| count as f64 * 1e6 / width.max(1) as f64;
        // In the end everything is read once more, as fast as it can be: that may leave the picture.
        let end = report
            .phases
            .iter()
            .find(|(_, phase)| *phase == Phase::End)
            .map_or(Micros::MAX, |(at, _)| *at);
        let load = report.buckets.iter().filter(|bucket| bucket.from + bucket.width <= end);
        let most = load.map(|bucket| per_second(bucket.reads + bucket.writes + bucket.failed, bucket.width));
        let most = most.fold(1.0, f64::max);
        let top = self.frame(
            "calls per second",
            &[
                (0.0, "0".into()),
                (0.5, format!("{:.0}", most / 2.0)),
                (1.0, format!("{most:.0}")),
            ],
        );
        for bucket in &report.buckets {
            let (x, end) = (
                self.x(bucket.from),
                self.x((bucket.from + bucket.width).min(report.end)),
            );
            let mut base = 0.0;
            for (count, colour) in [
                (bucket.writes, "--blue"),
                (bucket.reads, "--teal"),
                (bucket.failed, "--bad"),
            ] {
                if count == 0 {
                    continue;
                }
                let height = (CURVE * per_second(count, bucket.width) / most).min(CURVE - base);
                base += height;
                self.put(format_args!(
                    "<rect x='{x:.1}' y='{:.1}' width='{:.1}' height='{height:.1}' fill='var({colour})'/>",
                    top + CURVE - base,
                    (end - x).max(0.5)
                ));
            }
        }
        self.legend(top, &[("--blue", "writes"), ("--teal", "reads"), ("--bad", "failed")]);
    }

    fn latencies(&mut self) {
        // A scale of powers of ten: from 0.1 ms to the worst.
        let report = self.report;
        let worst = report
            .buckets
            .iter()
            .filter_map(|bucket| bucket.latency)
            .map(|[_, worst]| worst)
            .max()
            .unwrap_or(1000);
        let decades = ((worst.max(1000) as f64 / 100.0).log10()).ceil().max(1.0);
        let part = |latency: Micros| ((latency.max(100) as f64 / 100.0).log10() / decades).min(1.0);
        let marks: Vec<(f64, String)> = (0..=decades as u32)
            .map(|decade| (f64::from(decade) / decades, span(100 * 10u64.pow(decade))))
            .collect();
        let top = self.frame("latency", &marks);
        for (which, colour) in [(1, "--sand"), (0, "--blue")] {
            let mut path = String::new();
            let mut pen = 'M';
            for bucket in &report.buckets {
                let Some(latency) = bucket.latency else {
                    pen = 'M';
                    continue;
                };
                let (x, y) = (
                    self.x(bucket.from + bucket.width / 2),
                    top + CURVE * (1.0 - part(latency[which])),
                );
                path.push_str(&format!("{pen}{x:.1} {y:.1}"));
                pen = 'L';
            }
            self.put(format_args!(
                "<path d='{path}' fill='none' stroke='var({colour})' stroke-width='1.5' stroke-linecap='round'/>"
            ));
        }
        self.legend(top, &[("--blue", "median"), ("--sand", "worst")]);
    }

    fn legend(&mut self, top: f64, entries: &[(&str, &str)]) {
        for (index, (colour, name)) in entries.iter().enumerate() {
            let y = top + 30.0 + 15.0 * index as f64;
            self.put(format_args!(
                "<rect x='6' y='{:.1}' width='9' height='9' rx='2' fill='var({colour})'/><text x='20' y='{y:.1}'>{name}</text>",
                y - 9.0
            ));
        }
    }

    fn axis(&mut self) {
        let y = self.y;
        let step = step(self.report.end);
        let mut at = 0;
        while at <= self.report.end {
            let x = self.x(at);
            self.put(format_args!(
                "<text x='{x:.1}' y='{:.1}' text-anchor='middle'>{}</text>",
                y + 2.0,
                span(at)
            ));
            at += step;
        }
        self.y += 10.0;
    }
}

/// A round time of which about ten make the run.
fn step(end: Micros) -> Micros {
    const SECOND: Micros = 1_000_000;
    let round = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600].map(|seconds| seconds * SECOND);
    round
        .into_iter()
        .find(|step| end / step <= 12)
        .unwrap_or((end / 12).max(1))
}
