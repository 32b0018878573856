//! What was measured, as a table and as JSON.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use crate::sample::Sample;

/// The columns, in order. The last is there only when the real provider is measured too.
pub(crate) const COLUMNS: [&str; 4] = ["framework", "terraform_data", "tf-provider", "strata"];

/// One quantity of every contender; an empty sample where a contender has none.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) samples: [Sample; 4],
    pub(crate) target: Option<Target>,
}

/// What the framework is to reach (docs/performance.md).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// The median is below this.
    Below(f64),
    /// The ratio to `terraform_data` is at most this, where Terraform and the provider have cores of their own
    /// (docs/adr/0012-the-plan-of-a-thousand.md); elsewhere there is no verdict.
    TimesBuiltIn(f64),
    /// The same where they share cores: what both compute together, since the wall follows it there.
    TogetherTimesBuiltIn(f64),
}

/// From so many cores on, Terraform and a provider do not wait for each other.
const CORES: usize = 4;

/// Whether this machine has them.
pub(crate) fn has_cores_to_spare() -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() >= CORES)
}

impl Row {
    fn median(&self, column: usize) -> Option<f64> {
        self.samples[column].median()
    }

    /// The framework's median ratio to another column.
    fn ratio(&self, column: usize) -> Option<f64> {
        self.samples[0].ratio(&self.samples[column])
    }

    fn is_met(&self, cores_to_spare: bool) -> Option<bool> {
        match self.target? {
            Target::Below(limit) => Some(self.median(0)? < limit),
            Target::TimesBuiltIn(_) if !cores_to_spare => None,
            Target::TogetherTimesBuiltIn(_) if cores_to_spare => None,
            Target::TimesBuiltIn(limit) | Target::TogetherTimesBuiltIn(limit) => {
                Some(self.ratio(1)? <= limit)
            }
        }
    }

    fn cells(&self, cores_to_spare: bool) -> Vec<String> {
        let number = |value: Option<f64>| value.map_or(String::new(), digits);
        let ratio = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.2}"));
        let target = match self.target {
            None => String::new(),
            Some(Target::Below(limit)) => format!("< {limit} {}", self.unit),
            Some(Target::TimesBuiltIn(limit)) => {
                format!("<= {limit} x built-in with {CORES} cores")
            }
            Some(Target::TogetherTimesBuiltIn(limit)) => {
                format!("<= {limit} x built-in with fewer")
            }
        };
        let verdict = match self.is_met(cores_to_spare) {
            None if self.target.is_some() => "not judged here",
            None => "",
            Some(true) => "met",
            Some(false) => "MISSED",
        };
        let mut cells = vec![format!("{}, {}", self.what, self.unit)];
        cells.extend((0..COLUMNS.len()).map(|column| number(self.median(column))));
        cells.extend([ratio(self.ratio(1)), ratio(self.ratio(2))]);
        cells.extend([target, verdict.to_owned()]);
        cells
    }

    fn json(&self) -> Json {
        let columns = COLUMNS.iter().zip(&self.samples);
        let samples: serde_json::Map<String, Json> = columns
            .filter(|(_, sample)| !sample.0.is_empty())
            .map(|(name, sample)| {
                let facts = json!({
                    "median": sample.median(), "p95": sample.p95(), "samples": sample.0,
                });
                ((*name).to_owned(), facts)
            })
            .collect();
        json!({
            "what": self.what,
            "unit": self.unit,
            "measured": samples,
            "ratio_to_terraform_data": self.ratio(1),
            "ratio_to_tf_provider": self.ratio(2),
            "target": match self.target {
                None => Json::Null,
                Some(Target::Below(limit)) => json!({ "below": limit }),
                Some(Target::TimesBuiltIn(limit) | Target::TogetherTimesBuiltIn(limit)) => json!({ "ratio_to_terraform_data": limit }),
            },
            "met": self.is_met(has_cores_to_spare()),
        })
    }
}

/// Three significant digits, without an exponent.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The table; it is Markdown, so that a page can show it as it is.
pub(crate) fn table(rows: &[Row], cores_to_spare: bool) -> String {
    let head = [
        &["what (median)"],
        &COLUMNS[..],
        &["/ terraform_data", "/ tf-provider", "target", ""],
    ]
    .concat();
    let head: Vec<String> = head.into_iter().map(str::to_owned).collect();
    let mut lines: Vec<Vec<String>> = vec![head];
    lines.extend(rows.iter().map(|row| row.cells(cores_to_spare)));
    // A column in which nothing was measured says nothing.
    let used: Vec<usize> = (0..lines[0].len())
        .filter(|column| lines[1..].iter().any(|line| !line[*column].is_empty()))
        .collect();
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        for &column in &used {
            let (cell, width) = (&line[column], width(column).unwrap_or_default());
            // The first column is words, the others are mostly numbers.
            let _ = if column == 0 {
                write!(text, "| {cell:<width$} ")
            } else {
                write!(text, "| {cell:>width$} ")
            };
        }
        text.push_str("|\n");
        if index == 0 {
            for &column in &used {
                let dashes = "-".repeat(width(column).unwrap_or_default());
                let _ = if column == 0 {
                    write!(text, "| {dashes} ")
                } else {
                    write!(text, "| {}: ", &dashes[1..])
                };
            }
            text.push_str("|\n");
        }
    }
    text
}

/// Everything, every single sample included.
pub(crate) fn json(rows: &[Row], machine: &Json) -> Json {
    let rows: Vec<Json> = rows.iter().map(Row::json).collect();
    json!({ "machine": machine, "rows": rows })
}

#[cfg(test)]
mod tests {
    use super::{Row, Sample, Target, table};

    fn row(ours: f64, built_in: f64, target: Target) -> Row {
        let sample = |value| Sample(vec![value]);
        Row {
            what: "plan",
            unit: "s",
            samples: [
                sample(ours),
                sample(built_in),
                Sample::default(),
                Sample::default(),
            ],
            target: Some(target),
        }
    }

    #[test]
    fn a_target_is_met_or_missed() {
        let verdict = |row: Row| row.is_met(true);
        assert_eq!(
            verdict(row(1.2, 1.0, Target::TimesBuiltIn(1.2))),
            Some(true)
        );
        assert_eq!(
            verdict(row(1.3, 1.0, Target::TimesBuiltIn(1.2))),
            Some(false)
        );
        assert_eq!(verdict(row(5.0, 1.0, Target::Below(5.0))), Some(false));
    }

    #[test]
    fn where_cores_are_shared_the_sum_is_judged_and_not_the_wall() {
        let wall = row(1.3, 1.0, Target::TimesBuiltIn(1.2));
        assert_eq!(wall.is_met(false), None);
        let sum = |ours| row(ours, 1.0, Target::TogetherTimesBuiltIn(1.35));
        assert_eq!(sum(1.3).is_met(false), Some(true));
        assert_eq!(sum(1.4).is_met(false), Some(false));
        assert_eq!(sum(1.4).is_met(true), None);
        assert!(table(&[wall], false).contains("not judged here"));
        let weight = row(5.0, 1.0, Target::Below(5.0));
        assert_eq!(weight.is_met(false), Some(false));
    }

    #[test]
    fn unused_columns_are_left_out() {
        let text = table(&[row(1.3, 1.0, Target::TimesBuiltIn(1.2))], true);
        assert!(
            !text.contains("tf-provider") && text.contains("MISSED"),
            "{text}"
        );
        let widths: Vec<usize> = text.lines().map(str::len).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
    }
}
