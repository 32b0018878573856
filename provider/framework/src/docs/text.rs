//! A doc comment as the parts of a page: title, introduction, sections.

/// The parts of a doc comment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Text<'a> {
    /// The first line.
    pub(super) title: &'a str,
    /// What stands between the title and the first heading.
    pub(super) introduction: String,
    /// Headings of the first level with what follows them, in their order.
    pub(super) sections: Vec<(&'a str, String)>,
}

impl<'a> Text<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        let (title, rest) = text.split_once('\n').unwrap_or((text, ""));
        let mut parsed = Self {
            title: title.trim(),
            ..Self::default()
        };
        let mut in_code = false;
        for line in rest.lines() {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            }
            if let Some(heading) = line.strip_prefix("# ").filter(|_| !in_code) {
                parsed.sections.push((heading.trim(), String::new()));
                continue;
            }
            let part = parsed.sections.last_mut();
            let part = part.map_or(&mut parsed.introduction, |(_, text)| text);
            part.push_str(line);
            part.push('\n');
        }
        trim(&mut parsed.introduction);
        for (_, text) in &mut parsed.sections {
            trim(text);
        }
        parsed
    }

    /// The text below a heading.
    pub(super) fn section(&self, heading: &str) -> Option<&str> {
        let mut sections = self.sections.iter();
        sections
            .find(|(name, _)| *name == heading)
            .map(|(_, text)| text.as_str())
    }
}

fn trim(text: &mut String) {
    *text = text.trim().to_owned();
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn headings_part_a_comment_except_in_code() {
        let text = "A note.\n\nKept.\nSafe.\n\n```sh\n# no heading\n```\n\n# Permissions\n\nNone.\n\n# Import\n\nBy id.";
        let parsed = Text::parse(text);
        assert_eq!(parsed.title, "A note.");
        assert_eq!(
            parsed.introduction,
            "Kept.\nSafe.\n\n```sh\n# no heading\n```"
        );
        assert_eq!(parsed.section("Permissions"), Some("None."));
        assert_eq!(parsed.section("Import"), Some("By id."));
        assert_eq!(parsed.section("Errors"), None);
        assert_eq!(Text::parse("Alone.").introduction, "");
    }
}
