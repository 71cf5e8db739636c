//! Names all required fields that an object lacks. Runs only after something was found missing.

use super::node::{Node, Object};
use crate::table::{FieldTable, Kind, MessageTable, Shape};

/// Missing fields that are named: more than anybody reads, and a bound for the answer to a large broken body.
const MAX_NAMED: usize = 1000;

/// Paths as Mesos prints them: `subscribe.framework_info.user`, `tasks[0].task_id`. The fields of a message come before
/// those of messages inside it.
pub(crate) fn missing(table: &MessageTable, object: &Object<'_>) -> Vec<String> {
    let mut found = Vec::new();
    collect(table, object, "", &mut found);
    found
}

fn collect(table: &MessageTable, object: &Object<'_>, path: &str, found: &mut Vec<String>) {
    if found.len() >= MAX_NAMED {
        return;
    }
    let set = |field: &FieldTable| object.get(field.name).filter(|node| !matches!(node, Node::Null));
    for field in table
        .fields
        .iter()
        .filter(|field| field.required && set(field).is_none())
    {
        found.push(format!("{path}{}", field.name));
    }
    for field in table.fields {
        let (Kind::Message(nested), Some(node)) = (&field.kind, set(field)) else {
            continue;
        };
        let mut count = 0;
        walk(field, nested, node, path, &mut count, found);
    }
}

/// `count` numbers the elements of a repeated field, which may be spread over lists inside lists.
fn walk(
    field: &FieldTable,
    nested: &MessageTable,
    node: &Node<'_>,
    path: &str,
    count: &mut usize,
    found: &mut Vec<String>,
) {
    match (node, field.shape) {
        (Node::List(items), _) => items
            .iter()
            .for_each(|item| walk(field, nested, item, path, count, found)),
        (Node::Object(object), Shape::Single) => collect(nested, object, &format!("{path}{}.", field.name), found),
        (Node::Object(object), Shape::Repeated) => {
            collect(nested, object, &format!("{path}{}[{count}].", field.name), found);
            *count += 1;
        }
        (Node::Object(object), Shape::Map) => {
            for (_, value) in object.iter() {
                // The table of a map field is that of its entries, whose only listed field is the value.
                for entry in nested.fields {
                    if let (Kind::Message(nested), Node::Object(value)) = (&entry.kind, value) {
                        collect(
                            nested,
                            value,
                            &format!("{path}{}[{count}].{}.", field.name, entry.name),
                            found,
                        );
                    }
                }
                *count += 1;
            }
        }
        _ => {}
    }
}
