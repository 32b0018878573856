//! What an example refers to, as links: an example shows one thing and takes the rest from the examples of other pages.

use super::page::path;
use super::{Item, Kind, function};

/// Something that an example can refer to.
pub(super) struct Target {
    /// How a configuration writes it, up to what follows the name: `strata_secret.`, `provider::strata::ignition(`.
    written: String,
    label: String,
    /// Its page below `docs/`.
    path: String,
}

/// Everything of a provider.
pub(super) fn targets<'a>(
    provider: &str,
    items: &[Item<'_>],
    functions: impl Iterator<Item = &'a String>,
) -> Vec<Target> {
    let items = items.iter().map(|item| {
        let (prefix, word) = match item.kind {
            Kind::Resource => ("", ""),
            Kind::DataSource => ("data.", " (data source)"),
            Kind::Ephemeral => ("ephemeral.", " (ephemeral)"),
            Kind::List => ("list.", " (list)"),
        };
        Target {
            written: format!("{prefix}{}.", item.name),
            label: format!("`{}`{word}", item.name),
            path: path(provider, item),
        }
    });
    let functions = functions.map(|name| Target {
        written: format!("provider::{provider}::{name}("),
        label: format!("`{name}` (function)"),
        path: function::path(name),
    });
    items.chain(functions).collect()
}

/// The sentence below the example of the page at `own`; nothing when it stands alone.
pub(super) fn sentence(example: &str, own: &str, targets: &[Target]) -> Option<String> {
    let used = targets
        .iter()
        .filter(|target| target.path != own && is_in(&target.written, example));
    let links: Vec<String> = used
        .map(|target| format!("[{}](../{})", target.label, target.path))
        .collect();
    (!links.is_empty()).then(|| {
        format!(
            "What it refers to is in the examples of {}.",
            links.join(", ")
        )
    })
}

/// Whether the code has `written` as the beginning of a reference: `data.a_b.` does not refer to resource `a_b`.
fn is_in(written: &str, code: &str) -> bool {
    let mut from = 0;
    while let Some(found) = code[from..].find(written) {
        let at = from + found;
        let before = code[..at].chars().next_back();
        if !before.is_some_and(|before| before.is_alphanumeric() || "_.:-".contains(before)) {
            return true;
        }
        from = at + written.len();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::is_in;

    #[test]
    fn a_reference_begins_where_it_begins() {
        let code = "a = data.x_y.one.id\nb = ephemeral.x_z.one\nc = my_x_w.one\nd = [x_v.one]";
        assert!(is_in("data.x_y.", code) && is_in("ephemeral.x_z.", code) && is_in("x_v.", code));
        for other in ["x_y.", "x_z.", "x_w.", "x_u."] {
            assert!(!is_in(other, code), "{other}");
        }
    }
}
