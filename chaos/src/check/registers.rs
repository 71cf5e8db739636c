//! No acknowledged write of a register is lost, and no refused one is ever read.
//!
//! A read may return the value of a write that was called before the read ended, unless another write was acknowledged
//! that began after this one had ended and ended before the read began. The empty value may be read until a write is
//! acknowledged. This is weaker than linearizability (see `linearizable-registers`), but fast on any history, and it
//! names the write that is missing.

use std::collections::BTreeMap;

use super::Rule;
use super::facts::{At, Facts};
use super::verdict::{Finding, Findings};
use crate::history::{Call, Micros, Operation};

pub(super) const RULE: Rule = Rule {
    name: "acknowledged-registers-kept",
    what: "a value that was acknowledged is read until another one is written; one that was refused never",
    judge,
};

#[derive(Default)]
struct Register<'a> {
    writes: Vec<At<'a, Call>>,
    reads: Vec<At<'a, Call>>,
}

fn judge(facts: &Facts<'_>) -> Finding {
    let mut findings = Findings::default();
    let mut registers: BTreeMap<&str, Register<'_>> = BTreeMap::new();
    for call in &facts.calls {
        match &call.is.operation {
            Operation::Write { object, .. } => registers.entry(object).or_default().writes.push(*call),
            Operation::Read { object, .. } if call.is.is_acknowledged() => {
                registers.entry(object).or_default().reads.push(*call);
            }
            _ => {}
        }
    }
    for (object, register) in &registers {
        register.judge(object, &mut findings);
    }
    findings.finding()
}

impl<'a> Register<'a> {
    fn judge(&self, object: &str, findings: &mut Findings) {
        let mut by_value: BTreeMap<&str, Vec<At<'a, Call>>> = BTreeMap::new();
        for write in &self.writes {
            by_value.entry(written(write.is)).or_default().push(*write);
        }
        // Acknowledged writes by their end; with each the one of all until then that began last.
        let mut acknowledged: Vec<At<'a, Call>> = self
            .writes
            .iter()
            .filter(|write| write.is.is_acknowledged())
            .copied()
            .collect();
        acknowledged.sort_by_key(|write| write.is.latest());
        let mut latest: Vec<At<'a, Call>> = Vec::with_capacity(acknowledged.len());
        for write in &acknowledged {
            let best = latest.last().copied().filter(|best| best.is.called >= write.is.called);
            latest.push(best.unwrap_or(*write));
        }
        for read in &self.reads {
            findings.look();
            let ended = acknowledged.partition_point(|write| write.is.latest() < read.is.called);
            let newest = ended.checked_sub(1).and_then(|index| latest.get(index));
            let value = read.is.value().unwrap_or_default();
            let writers = by_value.get(value).map_or(&[][..], Vec::as_slice);
            let overwritten_before: Micros = newest.map_or(0, |newest| newest.is.called);
            let possible = |write: &&At<'a, Call>| {
                !write.is.is_refused() && write.is.called <= read.is.latest() && write.is.latest() >= overwritten_before
            };
            if writers.iter().any(|write| possible(&write)) || (value.is_empty() && newest.is_none()) {
                continue;
            }
            let what = explain(object, value, writers, newest);
            let evidence = writers.iter().chain(newest).map(|write| write.line);
            findings.violated(what, evidence.chain([read.line]));
        }
    }
}

fn explain(object: &str, value: &str, writers: &[At<'_, Call>], newest: Option<&At<'_, Call>>) -> String {
    let read = if value.is_empty() {
        format!("{object} was read as never written")
    } else {
        format!("{object} was read as '{value}'")
    };
    if let Some(newest) = newest
        && (value.is_empty() || writers.iter().any(|write| !write.is.is_refused()))
    {
        let value = written(newest.is);
        return format!("{read} after the write of '{value}' had been acknowledged");
    }
    if writers.iter().any(|write| write.is.is_refused()) {
        return format!("{read}, which was refused");
    }
    format!("{read}, which nobody had written by then")
}

fn written(call: &Call) -> &str {
    match &call.operation {
        Operation::Write { value, .. } => value,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{Story, held, violated};

    #[test]
    fn reads_return_the_last_write_or_one_that_was_under_way() {
        let mut story = Story::default();
        story.read("r", "");
        let first = story.write("r", "1");
        story.ok(first, "");
        story.read("r", "1");
        let open = story.write("r", "2");
        story.read("r", "1");
        story.read("r", "2");
        story.unknown(open);
        story.read("r", "2");
        let refused = story.write("r", "3");
        story.refused(refused);
        story.read("r", "2");
        // An unknown write may take effect at any time, so that even this is possible.
        let last = story.write("r", "4");
        story.ok(last, "");
        story.read("r", "2");
        held(&story.judge(&RULE), 7);
    }

    #[test]
    fn a_read_that_misses_an_acknowledged_write_is_found() {
        let mut story = Story::default();
        let first = story.write("r", "1");
        story.ok(first, "");
        let second = story.write("r", "2");
        story.ok(second, "");
        story.read("other", "");
        let mut missed = story.clone();
        missed.read("r", "1");
        assert_eq!(violated(&missed.judge(&RULE)), [vec![2, 3, 5]]);
        story.read("r", "");
        assert_eq!(violated(&story.judge(&RULE)), [vec![3, 5]]);
    }

    #[test]
    fn a_value_that_was_refused_or_never_written_is_found() {
        let mut story = Story::default();
        let refused = story.write("r", "1");
        story.refused(refused);
        story.read("r", "1");
        story.read("r", "9");
        let finding = story.judge(&RULE);
        assert_eq!(violated(&finding), [vec![2, 3], vec![4]]);
        let Finding::Violated { violations, .. } = finding else {
            panic!("held")
        };
        assert!(violations[0].what.contains("refused") && violations[1].what.contains("nobody"));
    }
}
