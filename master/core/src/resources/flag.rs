//! The agent's `--resources` flag: `cpus:4;mem:4096;disk(web):100;ports:[31000-32000];racks:{a,b}`, or a JSON list.

use super::Resources;
use super::validity::ResourceError;
use proto::json::Node;
use proto::v1::{self, resource::reservation_info, value};

impl Resources {
    /// Parses the `--resources` flag, in its text form or as a JSON list of `Resource`. What names no role is statically
    /// reserved for `default_role` (the `--default_role` flag) unless that is `*`.
    ///
    /// # Errors
    /// The item that could not be read, and why.
    pub fn parse_flag(text: &str, default_role: &str) -> Result<Resources, ResourceError> {
        if text.trim_start().starts_with('[') {
            return Resources::from_proto(&parse_json(text, default_role)?);
        }
        let items = text.split(';').map(str::trim).filter(|item| !item.is_empty());
        let parsed = items
            .map(|item| parse_item(item, default_role))
            .collect::<Result<Vec<_>, _>>()?;
        Resources::from_proto(&parsed)
    }
}

#[allow(deprecated)] // The format before refinement is welcome in flags as well.
fn parse_json(text: &str, default_role: &str) -> Result<Vec<v1::Resource>, ResourceError> {
    let bad = |why: String| ResourceError(format!("cannot read resources '{text}': {why}"));
    let Node::List(items) = proto::json::parse(text.as_bytes()).map_err(|error| bad(error.to_string()))? else {
        return Err(bad("expected a JSON list".to_owned()));
    };
    let mut resources = Vec::with_capacity(items.len());
    for item in &items {
        let mut resource: v1::Resource = proto::json::from_node(item).map_err(|error| bad(error.to_string()))?;
        if resource.role.is_none() && resource.reservations.is_empty() && default_role != "*" {
            resource.reservations.push(static_reservation(default_role));
        }
        resources.push(resource);
    }
    Ok(resources)
}

fn static_reservation(role: &str) -> v1::resource::ReservationInfo {
    v1::resource::ReservationInfo {
        role: Some(role.to_owned()),
        r#type: Some(reservation_info::Type::Static.into()),
        ..Default::default()
    }
}

fn parse_item(item: &str, default_role: &str) -> Result<v1::Resource, ResourceError> {
    let bad = |why: &str| ResourceError(format!("cannot read resource '{item}': {why}"));
    let (left, right) = item.split_once(':').ok_or_else(|| bad("expected '<name>:<value>'"))?;
    let (left, right) = (left.trim(), right.trim());
    let (name, role) = match left.split_once('(') {
        None => (left, default_role),
        Some((name, rest)) => {
            let role = rest.strip_suffix(')').ok_or_else(|| bad("the role's ')' is missing"))?;
            (name.trim(), role.trim())
        }
    };
    let mut resource = v1::Resource {
        name: name.to_owned(),
        ..Default::default()
    };
    if role != "*" {
        resource.reservations = vec![static_reservation(role)];
    }
    if let Some(inner) = right.strip_prefix('[') {
        let inner = inner
            .strip_suffix(']')
            .ok_or_else(|| bad("the range's ']' is missing"))?;
        let range = list(inner).map(parse_range).collect::<Option<Vec<_>>>();
        resource.r#type = value::Type::Ranges.into();
        resource.ranges = Some(value::Ranges {
            range: range.ok_or_else(|| bad("expected '[<begin>-<end>, …]'"))?,
        });
    } else if let Some(inner) = right.strip_prefix('{') {
        let inner = inner.strip_suffix('}').ok_or_else(|| bad("the set's '}' is missing"))?;
        resource.r#type = value::Type::Set.into();
        resource.set = Some(value::Set {
            item: list(inner).map(str::to_owned).collect(),
        });
    } else {
        let value: f64 = right
            .parse()
            .map_err(|_| bad("expected a number, '[<begin>-<end>]' or '{<item>,…}'"))?;
        resource.r#type = value::Type::Scalar.into();
        resource.scalar = Some(value::Scalar { value });
    }
    Ok(resource)
}

fn list(inner: &str) -> impl Iterator<Item = &str> {
    inner.split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn parse_range(part: &str) -> Option<value::Range> {
    let (begin, end) = part.split_once('-').unwrap_or((part, part));
    Some(value::Range {
        begin: begin.trim().parse().ok()?,
        end: end.trim().parse().ok()?,
    })
}
