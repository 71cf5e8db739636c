//! No offer is honoured that is gone.
//!
//! An offer belongs to one leadership. After a framework is subscribed with the next one, or saw the offer rescinded, an
//! ACCEPT that names it launches nothing. An offer id is given once; and of two ACCEPTs that name one offer for different
//! tasks, one at most launches. A task counts as launched when anybody saw it, see `acknowledged-launches-kept`.

use std::collections::BTreeMap;

use super::Rule;
use super::acknowledged_launches::{committed, launches};
use super::facts::{At, Facts};
use super::tasks::TaskKey;
use super::verdict::{Finding, Findings};
use crate::history::{Call, Micros, Operation, Sight};

pub(super) const RULE: Rule = Rule {
    name: "no-old-offer-honoured",
    what: "no offer is honoured that was rescinded, used, or made by an earlier leadership",
    judge,
};

#[derive(Clone, Copy)]
struct Offer<'a> {
    framework: &'a str,
    agent: &'a str,
    leadership: &'a str,
    at: Micros,
    line: usize,
    rescinded: Option<(Micros, usize)>,
}

type Subscriptions<'a> = BTreeMap<&'a str, Vec<(Micros, &'a str, usize)>>;

fn judge(facts: &Facts<'_>) -> Finding {
    let mut findings = Findings::default();
    let mut offers: BTreeMap<&str, Offer<'_>> = BTreeMap::new();
    let mut subscriptions: Subscriptions<'_> = BTreeMap::new();
    for (line, seen, sight) in facts.sights() {
        match sight {
            Sight::Subscribed {
                framework, leadership, ..
            } => subscriptions
                .entry(framework)
                .or_default()
                .push((seen.at, leadership, line)),
            Sight::Rescinded { offer } => {
                if let Some(offer) = offers.get_mut(offer.as_str()) {
                    offer.rescinded.get_or_insert((seen.at, line));
                }
            }
            Sight::Offered {
                framework,
                offer: id,
                agent,
                leadership,
            } => {
                let offer = Offer {
                    framework,
                    agent,
                    leadership,
                    at: seen.at,
                    line,
                    rescinded: None,
                };
                if let Some(first) = offers.get(id.as_str()) {
                    findings.violated(format!("offer {id} was made twice"), [first.line, line]);
                } else {
                    offers.insert(id, offer);
                }
            }
            _ => {}
        }
    }
    let committed = committed(facts);
    let launches = launches(facts);
    // Of each offer the tasks it was accepted for.
    let mut used: BTreeMap<&str, Vec<(TaskKey<'_>, usize)>> = BTreeMap::new();
    for (task, calls) in &launches {
        // A task that was asked for several times does not say which of them was honoured.
        let [call] = calls.as_slice() else { continue };
        findings.look();
        let Some((_, seen)) = committed.get(task) else { continue };
        judge_launch(*task, call, *seen, &offers, &subscriptions, &mut findings);
        if let Operation::Launch { offers, .. } = &call.is.operation {
            for offer in offers {
                used.entry(offer).or_default().push((*task, call.line));
            }
        }
    }
    for (offer, uses) in used {
        let Some(((_, first), (task, second))) = uses.first().and_then(|first| {
            uses.iter()
                .find(|other| other.1 != first.1)
                .map(|other| (*first, *other))
        }) else {
            continue;
        };
        let what = format!(
            "offer {offer} was honoured twice, the second time for task {} of {}",
            task.1, task.0
        );
        findings.violated(what, [first, second]);
    }
    findings.finding()
}

fn judge_launch(
    (framework, task): TaskKey<'_>,
    call: &At<'_, Call>,
    seen: usize,
    offers: &BTreeMap<&str, Offer<'_>>,
    subscriptions: &Subscriptions<'_>,
    findings: &mut Findings,
) {
    let Operation::Launch {
        offers: named, agent, ..
    } = &call.is.operation
    else {
        return;
    };
    for id in named {
        let Some(offer) = offers.get(id.as_str()) else { continue };
        let newer = subscriptions.get(framework).and_then(|list| {
            list.iter()
                .find(|(at, leadership, _)| *at > offer.at && *at < call.is.called && *leadership != offer.leadership)
        });
        if let Some((_, leadership, line)) = newer {
            let what = format!(
                "task {task} of {framework} was launched with offer {id} of leadership {} after the framework was \
                 subscribed with {leadership}",
                offer.leadership
            );
            findings.violated(what, [offer.line, *line, call.line, seen]);
        } else if let Some((_, line)) = offer.rescinded.filter(|(at, _)| *at < call.is.called) {
            let what = format!("task {task} of {framework} was launched with offer {id}, which had been rescinded");
            findings.violated(what, [offer.line, line, call.line, seen]);
        } else if offer.framework != framework || offer.agent != agent {
            let what = format!(
                "task {task} of {framework} was launched on {agent} with offer {id} to {} of {}",
                offer.framework, offer.agent
            );
            findings.violated(what, [offer.line, call.line, seen]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{Story, held, violated};

    fn offered(leadership: &str) -> Sight {
        Sight::Offered {
            framework: "f".into(),
            offer: "o1".into(),
            agent: "a".into(),
            leadership: leadership.into(),
        }
    }

    fn offered_story() -> Story {
        let mut story = Story::default();
        story.saw("s", Story::subscribed("l1", false));
        story.saw("s", offered("l1"));
        story
    }

    fn accepted(mut story: Story, happened: bool) -> Story {
        let launch = story.launch("t", "o1");
        story.ok(launch, "");
        if happened {
            story.read_task("t", "TASK_STAGING");
        }
        story
    }

    #[test]
    fn an_offer_is_honoured_once_and_an_old_one_not_at_all() {
        held(&accepted(offered_story(), true).judge(&RULE), 1);
        let mut old = offered_story();
        old.saw("s", Story::subscribed("l2", true));
        held(&accepted(old, false).judge(&RULE), 1);
    }

    #[test]
    fn an_old_or_rescinded_offer_that_launches_is_found() {
        let mut old = offered_story();
        old.saw("s", Story::subscribed("l2", true));
        assert_eq!(violated(&accepted(old, true).judge(&RULE)), [vec![3, 4, 5, 6]]);
        let mut rescinded = offered_story();
        rescinded.saw("s", Sight::Rescinded { offer: "o1".into() });
        assert_eq!(violated(&accepted(rescinded, true).judge(&RULE)), [vec![3, 4, 5, 6]]);
    }

    #[test]
    fn an_offer_id_given_twice_or_honoured_twice_is_found() {
        let mut story = offered_story();
        story.saw("s", Story::subscribed("l2", true));
        story.saw("s", offered("l2"));
        assert_eq!(violated(&story.judge(&RULE)), [vec![3, 5]]);
        let mut story = accepted(offered_story(), true);
        let second = story.launch("t2", "o1");
        story.ok(second, "");
        story.read_task("t2", "TASK_STAGING");
        assert_eq!(violated(&story.judge(&RULE)), [vec![4, 6]]);
    }
}
