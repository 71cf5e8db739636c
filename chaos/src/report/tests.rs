//! The figures are right, and the page is well-formed whatever a history says.

use super::*;
use crate::check::{Finding, Violation};
use crate::fault::FaultKind;
use crate::history::{Call, Coverage, FORMAT, FaultRecord, Operation, Outcome, PhaseBegun, Record, ReplicaSample};

const HOSTILE: &str = "<script>alert('&\"')</script>\u{1}";

fn call(id: u64, called: Micros, returned: Micros, outcome: Outcome) -> Record {
    Record::Call(Call {
        id,
        client: "c".into(),
        called,
        returned: (!matches!(outcome, Outcome::Unknown { .. })).then_some(returned),
        operation: Operation::Write {
            object: "quota/a".into(),
            value: id.to_string(),
        },
        outcome,
    })
}

fn ok(id: u64, called: Micros, returned: Micros) -> Record {
    call(id, called, returned, Outcome::Ok { value: String::new() })
}

fn fault(at: Micros, ended: bool) -> Record {
    Record::Fault(FaultRecord {
        at,
        number: 4,
        kind: FaultKind::Kill,
        targets: vec![HOSTILE.into()],
        detail: HOSTILE.into(),
        ended,
    })
}

fn history() -> History {
    let run = Run {
        format: FORMAT,
        harness: "processes".into(),
        seed: 7,
        masters: 3,
        version: HOSTILE.into(),
        machine: HOSTILE.into(),
        started_at: 1_795_249_666_987_906,
        workloads: vec![HOSTILE.into()],
        faults: vec!["kill".into(), "pause".into()],
    };
    let phase = |at, phase| Record::Phase(PhaseBegun { at, phase });
    let leader = |at, node, term| {
        Record::Replica(ReplicaSample {
            at,
            node,
            term,
            role: "leader".into(),
            ..ReplicaSample::default()
        })
    };
    let records = vec![
        Record::Run(run),
        phase(0, Phase::Begin),
        leader(50_000, 1, 1),
        ok(0, 100_000, 101_000),
        phase(200_000, Phase::Faults),
        fault(300_000, false),
        call(1, 300_000, 0, Outcome::Unknown { reason: HOSTILE.into() }),
        leader(900_000, 2, 3),
        ok(2, 301_000, 1_301_000),
        fault(1_400_000, true),
        leader(1_500_000, 2, 3),
        call(3, 1_500_000, 1_502_000, Outcome::Refused { text: HOSTILE.into() }),
        phase(1_600_000, Phase::Healed),
        ok(4, 1_700_000, 1_702_000),
        Record::Coverage(Coverage {
            name: HOSTILE.into(),
            count: 0,
        }),
    ];
    History { records }
}

fn report() -> Report {
    let history = history();
    let mut verdicts = Verdicts::of(&history, crate::check::check(&history));
    verdicts.verdicts.push(Verdict {
        check: HOSTILE.into(),
        finding: Finding::Violated {
            count: 2,
            violations: vec![Violation {
                what: HOSTILE.into(),
                evidence: vec![3, 4],
            }],
        },
    });
    Report::of(&history, &verdicts, &[HOSTILE.to_owned()])
}

#[test]
fn the_figures_are_those_of_the_history() {
    let report = report();
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json["kinds"][0]["kind"], "write");
    assert_eq!(json["kinds"][0]["acknowledged"], 3);
    assert_eq!(
        (&json["kinds"][0]["refused"], &json["kinds"][0]["unknown"]),
        (&1.into(), &1.into())
    );
    assert_eq!(
        json["kinds"][0]["latency"],
        serde_json::json!([2_000, 1_000_000, 1_000_000, 1_000_000])
    );
    assert_eq!(
        json["gaps"][0],
        serde_json::json!({"from": 101_000, "to": 1_301_000, "faults": [4]})
    );
    assert_eq!(json["faults"][0]["longest_gap"], 1_200_000);
    assert_eq!(json["faults"][0]["to"], 1_400_000);
    assert_eq!(
        json["leaderships"][1],
        serde_json::json!({"node": 2, "term": 3, "from": 900_000, "to": 1_500_000})
    );
    assert_eq!(json["conclusion"], "violated");
    let coverage: Vec<(&str, u64)> = report
        .coverage
        .iter()
        .map(|(name, count)| (name.as_str(), *count))
        .collect();
    assert_eq!(coverage, [(HOSTILE, 0), ("fault/kill", 1), ("fault/pause", 0)]);
    let acknowledged: u64 = report.buckets.iter().map(|bucket| bucket.writes).sum();
    let failed: u64 = report.buckets.iter().map(|bucket| bucket.failed).sum();
    assert_eq!((acknowledged, failed), (3, 2));
}

#[test]
fn what_reproduces_a_run_is_the_command_of_its_harness() {
    let mut run = history().run().unwrap().clone();
    run.workloads = vec!["tasks".into(), "quota".into()];
    let command = "mesoraft chaos run --seed 7 --masters 3 --workloads tasks,quota --faults kill,pause";
    assert_eq!(reproduce(&run), command);
    run.harness = "simulation".into();
    assert_eq!(reproduce(&run), "cargo xtask simulate --seed 7");
}

/// Checks that tags are closed in the order in which they were opened, and returns the text outside of them.
fn well_formed(page: &str) -> String {
    let page = page.strip_prefix("<!DOCTYPE html>\n").unwrap();
    let (mut open, mut text) = (Vec::new(), String::new());
    let mut rest = page;
    while let Some((before, after)) = rest.split_once('<') {
        assert!(
            !before.contains('>') || open.last() == Some(&"style"),
            "a stray > in {before}"
        );
        if open.last() != Some(&"style") {
            text.push_str(before);
        }
        let (tag, after) = after.split_once('>').unwrap();
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed));
        } else if !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().unwrap());
        }
        rest = after;
    }
    assert!(open.is_empty(), "{open:?}");
    text
}

#[test]
fn the_page_is_well_formed_and_escapes_everything() {
    let page = report().html();
    let text = well_formed(&page);
    assert!(text.contains("&lt;script&gt;") && text.contains("never reached"));
    assert!(!page.contains("<script") && !page.contains('\u{1}'));
    // Nothing is fetched.
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("url("));
    assert!(text.contains("2026-11-21"), "{text}");
}

#[test]
fn an_empty_history_makes_a_page_too() {
    let history = History::default();
    let verdicts = Verdicts::of(&history, crate::check::check(&history));
    let page = Report::of(&history, &verdicts, &[]).html();
    assert!(well_formed(&page).contains("Not decided"));
}

#[test]
fn times_are_written_for_people() {
    let cases = [
        (0, "0"),
        (900, "900 µs"),
        (1_500, "1.5 ms"),
        (250_000, "250 ms"),
        (1_000_000, "1 s"),
        (61_000_000, "61 s"),
        (600_000_000, "10 min"),
        (7_200_000_000, "2 h"),
    ];
    for (micros, text) in cases {
        assert_eq!(html::span(micros), text);
    }
}
