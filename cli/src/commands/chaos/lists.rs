//! What there is to choose from.

use chaos::fault::FaultKind;
use chaos::workload::Workload;

use crate::output::{say, table};

/// Prints every fault with what it is and where it works.
pub(super) fn faults() {
    let head = ["fault", "what happens", "here"].map(str::to_owned).to_vec();
    let rows = FaultKind::ALL.iter().map(|kind| {
        let here = chaos::run::unavailable(*kind).unwrap_or_else(|| "works".to_owned());
        vec![kind.name().to_owned(), kind.what().to_owned(), here]
    });
    print(std::iter::once(head).chain(rows).collect());
}

/// Prints every workload with what it does.
pub(super) fn workloads() {
    let head = ["workload", "what it does"].map(str::to_owned).to_vec();
    let rows = Workload::ALL
        .iter()
        .map(|workload| vec![workload.name().to_owned(), workload.what().to_owned()]);
    print(std::iter::once(head).chain(rows).collect());
}

fn print(rows: Vec<Vec<String>>) {
    table(&rows).iter().for_each(|line| say(line));
}
