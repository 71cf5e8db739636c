//! The members for people.

use replicated_log::{Member, Members};

use crate::output::table;

/// A row per member, then who leads since when.
pub(super) fn lines(members: &Members) -> Vec<String> {
    let head = ["node", "address", "role", "last entry", "lag"]
        .map(str::to_owned)
        .to_vec();
    let rows = members.members.iter().map(|member| row(member, members.leader));
    let mut lines = table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    lines.push(format!(
        "cluster {}, node {} leads in term {}",
        members.cluster_id, members.leader, members.term
    ));
    lines
}

fn row(member: &Member, leader: u64) -> Vec<String> {
    let role = match (member.node_id == leader, member.votes) {
        (true, _) => "leader",
        (false, true) => "voter",
        (false, false) => "learner",
    };
    // It has not answered this leader yet, perhaps because it does not run.
    let number = |number: Option<u64>| number.map_or("unknown".to_owned(), |number| number.to_string());
    vec![
        member.node_id.to_string(),
        member.address.clone(),
        role.to_owned(),
        number(member.matched_index),
        number(member.lag),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_has_not_answered_has_an_unknown_lag() {
        let member = |node_id, votes, lag: Option<u64>| Member {
            node_id,
            address: format!("h{node_id}:5150"),
            votes,
            matched_index: lag.map(|lag| 90 - lag),
            lag,
        };
        let members = Members {
            cluster_id: "c".into(),
            term: 7,
            leader: 1,
            last_log_index: 90,
            members: vec![
                member(1, true, Some(0)),
                member(2, true, Some(5)),
                member(4, false, None),
            ],
        };
        assert_eq!(
            lines(&members),
            [
                "node  address  role     last entry  lag",
                "1     h1:5150  leader   90          0",
                "2     h2:5150  voter    85          5",
                "4     h4:5150  learner  unknown     unknown",
                "cluster c, node 1 leads in term 7",
            ]
        );
    }
}
