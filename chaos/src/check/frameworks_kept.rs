//! A framework that is subscribed is not removed.
//!
//! Its failover timeout runs only while it is away. Looked at: every removal in the event stream of a framework whose
//! subscription has not broken, with the same leadership as everybody else's, and that nobody tore down.

use std::collections::{BTreeMap, BTreeSet};

use super::Rule;
use super::facts::Facts;
use super::verdict::{Finding, Findings};
use crate::history::{Operation, Sight};

pub(super) const RULE: Rule = Rule {
    name: "frameworks-kept",
    what: "a framework that is subscribed is not removed unless it is torn down",
    judge,
};

fn judge(facts: &Facts<'_>) -> Finding {
    let mut findings = Findings::default();
    let torn_down: BTreeSet<&str> = facts
        .calls
        .iter()
        .filter_map(|call| match &call.is.operation {
            Operation::Teardown { framework } if !call.is.is_refused() => Some(framework.as_str()),
            _ => None,
        })
        .collect();
    // With which leadership each framework is subscribed, and where that began.
    let mut subscribed: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    let mut removed: BTreeSet<&str> = BTreeSet::new();
    for (line, _, sight) in facts.sights() {
        match sight {
            Sight::Subscribed {
                framework, leadership, ..
            } => {
                findings.look();
                // Whoever is still subscribed elsewhere has not noticed yet that another master leads.
                subscribed.retain(|_, (other, _)| *other == leadership);
                subscribed.insert(framework, (leadership, line));
            }
            Sight::Disconnected { framework } | Sight::Ended { framework, .. } => {
                subscribed.remove(framework.as_str());
            }
            Sight::StreamEvent { event, subject, .. } if event == "FRAMEWORK_REMOVED" => {
                if torn_down.contains(subject.as_str()) || !removed.insert(subject) {
                    continue;
                }
                if let Some((_, since)) = subscribed.get(subject.as_str()) {
                    let what = format!("framework {subject} was removed while it was subscribed");
                    findings.violated(what, [*since, line]);
                }
            }
            _ => {}
        }
    }
    findings.finding()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{Story, held, violated};

    fn removed(story: &mut Story) {
        story.event(9, "FRAMEWORK_REMOVED", "f", "");
    }

    #[test]
    fn a_framework_that_is_away_or_torn_down_may_be_removed() {
        let mut story = Story::default();
        story.saw("s", Story::subscribed("l", false));
        let framework = "f".to_owned();
        story.saw("s", Sight::Disconnected { framework });
        removed(&mut story);
        held(&story.judge(&RULE), 1);
        let mut story = Story::default();
        story.saw("s", Story::subscribed("l", false));
        let framework = "f".to_owned();
        story.begin("o", Operation::Teardown { framework });
        removed(&mut story);
        held(&story.judge(&RULE), 1);
    }

    #[test]
    fn a_framework_that_is_back_and_removed_is_found() {
        let mut story = Story::default();
        story.saw("s", Story::subscribed("l", false));
        let framework = "f".to_owned();
        story.saw("s", Sight::Disconnected { framework });
        story.saw("s", Story::subscribed("l", true));
        removed(&mut story);
        assert_eq!(violated(&story.judge(&RULE)), [vec![4, 5]]);
    }
}
