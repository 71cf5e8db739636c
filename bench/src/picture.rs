//! Spreads of measured times as a picture: which share of them was over after how many milliseconds.
//!
//! An SVG that needs nothing else; readable on light and dark pages.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use crate::spread::{Spread, show};

/// Size of the whole picture in pixels.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 420.0;
/// Room around the axes.
const LEFT: f64 = 60.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 52.0;
/// One colour for each curve; told apart by people who see few colours too.
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];
/// Shares at which a line is drawn, in percent.
const SHARES: [f64; 5] = [0.0, 25.0, 50.0, 75.0, 100.0];

/// A spread with its name.
pub type Curve<'a> = (&'a str, &'a Spread);

/// Writes the picture of `curves` to `file`; the times lie on a logarithmic axis.
///
/// # Errors
/// There is nothing to draw, or the file cannot be written.
pub fn write(file: &Path, title: &str, curves: &[Curve<'_>]) -> Result<()> {
    let svg = draw(title, curves).context("no times were measured: there is nothing to draw")?;
    std::fs::write(file, svg).with_context(|| format!("cannot write {}", file.display()))
}

/// The picture, or `None` without any measured time.
fn draw(title: &str, curves: &[Curve<'_>]) -> Option<String> {
    let drawn: Vec<&Curve<'_>> = curves.iter().filter(|(_, spread)| spread.count() > 0).collect();
    let shortest = drawn.iter().map(|(_, spread)| spread.min()).reduce(f64::min)?;
    let longest = drawn.iter().map(|(_, spread)| spread.max()).reduce(f64::max)?;
    let axis = Axis::around(shortest, longest);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<style>text{{fill:#333}}.line{{stroke:#8884}}\
         @media(prefers-color-scheme:dark){{text{{fill:#ddd}}}}</style>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"15\">{}</text>\n",
        escaped(title)
    );
    axis.draw(&mut svg);
    for (number, (name, spread)) in drawn.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        curve(&mut svg, &axis, spread, colour);
        let x = LEFT + number as f64 * 205.0;
        let (p50, p99) = (show(spread.percentile(50.0)), show(spread.percentile(99.0)));
        svg_line(
            &mut svg,
            format_args!(
                "<text x=\"{x}\" y=\"40\"><tspan fill=\"{colour}\">■</tspan> {}</text>\
                 <text x=\"{x}\" y=\"55\" font-size=\"11\">p50 {p50}, p99 {p99}, max {} ms, {} times</text>",
                escaped(name),
                show(spread.max()),
                spread.count()
            ),
        );
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

/// The time axis: logarithmic, from one power of ten, or twice or five times it, to another.
struct Axis {
    marks: Vec<f64>,
}

impl Axis {
    fn around(shortest: f64, longest: f64) -> Axis {
        let steps: Vec<f64> = (-3..8)
            .flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(power)))
            .collect();
        let first = steps.iter().rposition(|step| *step <= shortest).unwrap_or(0);
        let last = steps
            .iter()
            .position(|step| *step >= longest)
            .unwrap_or(steps.len() - 1);
        Axis {
            marks: steps[first..=last.max(first + 1)].to_vec(),
        }
    }

    fn x(&self, millis: f64) -> f64 {
        let (first, last) = (self.marks[0].ln(), self.marks[self.marks.len() - 1].ln());
        let share = (millis.max(self.marks[0]).ln() - first) / (last - first);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn draw(&self, svg: &mut String) {
        let bottom = HEIGHT - BOTTOM;
        for mark in &self.marks {
            let x = self.x(*mark);
            svg_line(
                svg,
                format_args!(
                    "<line class=\"line\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
                     <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{mark}</text>",
                    bottom + 18.0
                ),
            );
        }
        for share in SHARES {
            let y = y(share);
            svg_line(
                svg,
                format_args!(
                    "<line class=\"line\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                     <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{share} %</text>",
                    WIDTH - RIGHT,
                    LEFT - 6.0,
                    y + 4.0
                ),
            );
        }
        svg_line(
            svg,
            format_args!(
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">milliseconds since the fault</text>",
                WIDTH - RIGHT,
                HEIGHT - 12.0
            ),
        );
    }
}

fn y(percent: f64) -> f64 {
    HEIGHT - BOTTOM - percent / 100.0 * (HEIGHT - TOP - BOTTOM)
}

/// The share of times that are over: a staircase, one step for each different time.
fn curve(svg: &mut String, axis: &Axis, spread: &Spread, colour: &str) {
    let mut path = String::new();
    let mut before = 0.0;
    for (millis, percent) in spread.steps() {
        let x = axis.x(millis);
        let verb = if path.is_empty() { 'M' } else { 'L' };
        // Writing to a text cannot fail.
        write!(path, "{verb}{x:.1} {:.1}L{x:.1} {:.1}", y(before), y(percent)).ok();
        before = percent;
    }
    svg_line(
        svg,
        format_args!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"),
    );
}

fn svg_line(svg: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a text cannot fail.
    writeln!(svg, "{line}").ok();
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_measured_time_lies_within_the_axes() {
        let mut spread = Spread::default();
        for millis in [3, 7, 20, 20, 140] {
            spread.record(Duration::from_millis(millis));
        }
        let axis = Axis::around(spread.min(), spread.max());
        assert_eq!((axis.marks[0], axis.marks[axis.marks.len() - 1]), (2.0, 200.0));
        let steps: Vec<(f64, f64)> = spread.steps().collect();
        assert_eq!(steps.len(), 4);
        assert!(
            steps
                .iter()
                .all(|(millis, _)| (LEFT..=WIDTH - RIGHT).contains(&axis.x(*millis)))
        );
        assert!((steps[3].1 - 100.0).abs() < 1e-9 && (steps[2].1 - 80.0).abs() < 1e-9);
    }

    #[test]
    fn a_picture_names_its_curves_and_escapes_what_it_is_told() {
        let mut spread = Spread::default();
        assert_eq!(draw("nothing", &[("empty", &spread)]), None);
        spread.record(Duration::from_millis(5));
        let svg = draw("a < b & c", &[("next write", &spread)]).unwrap();
        assert!(svg.contains("a &lt; b &amp; c") && svg.contains("next write") && svg.ends_with("</svg>\n"));
    }
}
