//! The syntax of role names and their tree.

/// Checks the syntax of a role name.
///
/// # Errors
/// The text Mesos answers.
pub fn role_syntax(role: &str) -> Result<(), String> {
    if role == "*" {
        return Ok(());
    }
    if role.is_empty() {
        return Err("Role names cannot be the empty string".into());
    }
    if role.starts_with('/') {
        return Err(format!("Role '{role}' cannot start with a slash"));
    }
    if role.ends_with('/') {
        return Err(format!("Role '{role}' cannot end with a slash"));
    }
    if role.contains("//") {
        return Err(format!("Role '{role}' cannot contain two adjacent slashes"));
    }
    for component in role.split('/') {
        if matches!(component, "." | ".." | "*") {
            return Err(format!("Role '{role}' cannot include '{component}' as a component"));
        }
        if component.starts_with('-') {
            return Err(format!(
                "Role component '{component}' is invalid because it starts with a dash"
            ));
        }
        if component.bytes().any(|byte| matches!(byte, 0x09..=0x0d | 0x20 | 0x7f)) {
            return Err(format!(
                "Role component '{component}' is invalid because it contains backspace or whitespace"
            ));
        }
    }
    Ok(())
}

/// The root of the role's tree: `a` for `a` and for `a/b/c`.
pub fn top_level_role(role: &str) -> &str {
    role.split_once('/').map_or(role, |(top, _)| top)
}

/// True when `role` is below `ancestor` in the tree of roles.
pub fn is_strict_subrole(ancestor: &str, role: &str) -> bool {
    role.strip_prefix(ancestor)
        .is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
}
