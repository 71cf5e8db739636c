//! CommandInfo: its environment.

use proto::v1::{self, environment::variable::Type};

pub(super) fn command(info: &v1::CommandInfo) -> Result<(), String> {
    let variables = info
        .environment
        .as_ref()
        .map(|environment| environment.variables.as_slice());
    for variable in variables.unwrap_or_default() {
        let name = &variable.name;
        let must = |kind: &str, what: &str| Err(format!("Environment variable '{name}' of type '{kind}' must {what}"));
        match variable.r#type() {
            Type::Value if variable.secret.is_some() => return must("VALUE", "not have a secret set"),
            Type::Value if variable.value.is_none() => return must("VALUE", "have a value set"),
            Type::Secret if variable.value.is_some() => return must("SECRET", "not have a value set"),
            Type::Secret if variable.secret.is_none() => return must("SECRET", "have a secret set"),
            Type::Value | Type::Secret => {}
            Type::Unknown => return Err("Environment variable of type 'UNKNOWN' is not allowed".into()),
        }
    }
    Ok(())
}
