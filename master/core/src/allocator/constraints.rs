//! Offer constraints: which agents a framework wants to be offered for a role.
//!
//! Regular expressions are RE2's. Only those without any special character are decided here (they are plain texts); for all
//! others the agent is offered, for a framework has to look at its offers anyway. Never hides an agent it is not sure about.

use super::facts::AgentFacts;
use proto::v1::scheduler::attribute_constraint::{Predicate, Selector, predicate, selector};
use proto::v1::scheduler::offer_constraints::RoleConstraints;

/// True when the agent may be offered: one group all of whose constraints hold, or no constraints at all.
pub(super) fn accepts(constraints: &RoleConstraints, agent: &AgentFacts) -> bool {
    constraints.groups.is_empty()
        || constraints.groups.iter().any(|group| {
            group
                .attribute_constraints
                .iter()
                .all(|constraint| holds(&constraint.selector, &constraint.predicate, agent))
        })
}

/// What a selector finds on an agent.
enum Found<'a> {
    Missing,
    Text(&'a str),
    /// An attribute that is not a text: every comparison with a text is answered with true.
    NotText,
}

fn select<'a>(wanted: &Selector, agent: &'a AgentFacts) -> Found<'a> {
    use selector::{PseudoattributeType, Selector as Kind};
    let text = match &wanted.selector {
        Some(Kind::AttributeName(name)) => {
            return match agent.attributes.get(name.as_str()) {
                None => Found::Missing,
                Some(None) => Found::NotText,
                Some(Some(text)) => Found::Text(text),
            };
        }
        Some(Kind::PseudoattributeType(kind)) => match PseudoattributeType::try_from(*kind) {
            Ok(PseudoattributeType::Hostname) => Some(agent.hostname.as_str()),
            Ok(PseudoattributeType::Region) => agent.region.as_deref(),
            Ok(PseudoattributeType::Zone) => agent.zone.as_deref(),
            Ok(PseudoattributeType::Unknown) | Err(_) => None,
        },
        None => None,
    };
    text.map_or(Found::Missing, Found::Text)
}

fn holds(wanted: &Selector, predicate: &Predicate, agent: &AgentFacts) -> bool {
    use predicate::Predicate as Kind;
    let found = select(wanted, agent);
    match (&predicate.predicate, found) {
        (None, _) => true,
        (Some(Kind::Exists(_)), found) => !matches!(found, Found::Missing),
        (Some(Kind::NotExists(_)), found) => matches!(found, Found::Missing),
        (Some(Kind::TextEquals(_) | Kind::TextMatches(_)), Found::Missing) => false,
        (Some(Kind::TextNotEquals(_) | Kind::TextNotMatches(_)), Found::Missing) => true,
        (Some(_), Found::NotText) => true,
        (Some(Kind::TextEquals(wanted)), Found::Text(text)) => text == wanted.value,
        (Some(Kind::TextNotEquals(wanted)), Found::Text(text)) => text != wanted.value,
        (Some(Kind::TextMatches(wanted)), Found::Text(text)) => !is_plain(&wanted.regex) || text == wanted.regex,
        (Some(Kind::TextNotMatches(wanted)), Found::Text(text)) => !is_plain(&wanted.regex) || text != wanted.regex,
    }
}

/// A pattern without special characters matches itself only.
fn is_plain(regex: &str) -> bool {
    !regex.contains(['\\', '.', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$'])
}
