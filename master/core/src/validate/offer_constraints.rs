//! Offer constraints of SUBSCRIBE and UPDATE_FRAMEWORK.
//!
//! Mesos builds each regular expression with RE2 and refuses what RE2 refuses. Here only what is certain without RE2 is
//! refused: unbalanced groups, a trailing backslash, a pattern longer than the memory RE2 gets. Everything else is accepted, and the
//! allocator hides no agent by an expression that it cannot decide.

use proto::v1::scheduler::attribute_constraint::{Predicate, Selector, predicate, selector};
use proto::v1::scheduler::{AttributeConstraint, OfferConstraints};

/// Memory that Mesos allows RE2 for one expression; no longer pattern fits.
const REGEX_BYTES_MAX: usize = 4_096;

/// Checks constraints against the subscribed roles. Texts are Mesos's, missing blanks included.
pub(super) fn offer_constraints(constraints: &OfferConstraints, roles: &[&str]) -> Result<(), String> {
    for role in constraints.role_constraints.keys() {
        if !roles.contains(&role.as_str()) {
            return Err(format!(
                "Offer constraints specify `role_constraints` for a role '{role}'not contained in the set of roles"
            ));
        }
    }
    well_formed(constraints).map_err(|why| format!("Offer constraints are not valid: {why}"))
}

fn well_formed(constraints: &OfferConstraints) -> Result<(), String> {
    for (role, of_role) in &constraints.role_constraints {
        if of_role.groups.is_empty() {
            return Err(format!(
                "'OfferConstraints::role_constraints' has an empty 'RoleConstraints::groups' for role {role}"
            ));
        }
        for group in &of_role.groups {
            if group.attribute_constraints.is_empty() {
                return Err(format!(
                    "'OfferConstraints::RoleConstraints::groups' for role {role}contains an empty RoleConstraints::Group"
                ));
            }
            for constraint in &group.attribute_constraints {
                attribute_constraint(constraint)
                    .map_err(|why| format!("A role {role} has an invalid 'AttributeConstraint': {why}"))?;
            }
        }
    }
    Ok(())
}

fn attribute_constraint(constraint: &AttributeConstraint) -> Result<(), String> {
    selects(&constraint.selector)?;
    decides(&constraint.predicate)
}

fn selects(wanted: &Selector) -> Result<(), String> {
    use selector::{PseudoattributeType, Selector as Kind};
    match &wanted.selector {
        None => Err("Exactly one of 'AttributeConstraint::Selector::name' or \
                     'AttributeConstraint::Selector::pseudoattribute_type' must be set"
            .into()),
        Some(Kind::AttributeName(_)) => Ok(()),
        Some(Kind::PseudoattributeType(kind)) => match PseudoattributeType::try_from(*kind) {
            Ok(PseudoattributeType::Hostname | PseudoattributeType::Region | PseudoattributeType::Zone) => Ok(()),
            Ok(PseudoattributeType::Unknown) | Err(_) => Err("Unknown pseudoattribute type".into()),
        },
    }
}

fn decides(wanted: &Predicate) -> Result<(), String> {
    use predicate::Predicate as Kind;
    match &wanted.predicate {
        None => Err("Unknown predicate type".into()),
        Some(Kind::TextMatches(matches)) => regex(&matches.regex),
        Some(Kind::TextNotMatches(matches)) => regex(&matches.regex),
        Some(Kind::Exists(_) | Kind::NotExists(_) | Kind::TextEquals(_) | Kind::TextNotEquals(_)) => Ok(()),
    }
}

fn regex(pattern: &str) -> Result<(), String> {
    regex_problem(pattern).map_or(Ok(()), |why| {
        Err(format!("Failed to construct regex from pattern '{pattern}': {why}"))
    })
}

/// What RE2 is certain to say about a pattern.
fn regex_problem(pattern: &str) -> Option<String> {
    if pattern.len() > REGEX_BYTES_MAX {
        return Some("pattern too large - compile failed".into());
    }
    if pattern.contains("\\Q") {
        // Quoted texts may hold anything; not decided here.
        return None;
    }
    let mut open_groups = 0usize;
    let mut class_start = None;
    let mut chars = pattern.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        match (char, class_start) {
            ('\\', _) if chars.next().is_none() => return Some("trailing \\".into()),
            ('[', None) => {
                class_start = Some(at);
                // A `]` right behind the start, or behind its `^`, stands for itself.
                chars.next_if(|(_, next)| *next == '^');
                chars.next_if(|(_, next)| *next == ']');
            }
            (']', Some(_)) => class_start = None,
            ('(', None) => open_groups += 1,
            (')', None) if open_groups == 0 => return Some(format!("unexpected ): {pattern}")),
            (')', None) => open_groups -= 1,
            _ => {}
        }
    }
    // An open class may hold a named one (`[[:alpha:]`), which is not looked into here.
    (class_start.is_none() && open_groups > 0).then(|| format!("missing ): {pattern}"))
}
