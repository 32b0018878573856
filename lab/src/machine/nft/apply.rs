//! Executes statements on the tables, with the kernel's objections.

use std::time::Duration;

use super::set::Set;
use super::statement::{Expression, Rule, Statement, Values};
use super::{Chain, Ruleset, Table};

const MISSING: &str = "Could not process rule: No such file or directory";

/// Why a statement did not apply; the caller knows the line.
#[derive(Debug)]
pub(super) enum Problem {
    Error(String),
    Unknown(String),
}

fn error<T>(text: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Error(text.into()))
}

impl Ruleset {
    pub(super) fn execute(&mut self, statement: Statement, now: Duration) -> Result<(), Problem> {
        match statement {
            Statement::AddTable(family, table) => {
                self.tables.entry((family, table)).or_default();
                Ok(())
            }
            Statement::DeleteTable {
                family,
                table,
                must_exist,
            } => {
                if self.tables.remove(&(family, table)).is_none() && must_exist {
                    return error(MISSING);
                }
                Ok(())
            }
            Statement::FlushTable(family, table) => {
                for chain in &mut self.table(family, table)?.chains {
                    chain.rules.clear();
                }
                Ok(())
            }
            Statement::FlushRuleset => {
                self.tables.clear();
                Ok(())
            }
            Statement::AddSet {
                family,
                table,
                name,
                set: declared,
            } => {
                let table = self.table(family, table)?;
                if let Some(old) = table.sets.get(&name)
                    && (old.kind, old.interval, old.timed)
                        != (declared.kind, declared.interval, declared.timed)
                {
                    return error("Could not process rule: File exists");
                }
                let set = table.sets.entry(name).or_insert_with(|| Set {
                    kind: declared.kind,
                    interval: declared.interval,
                    timed: declared.timed,
                    auto_merge: declared.auto_merge,
                    timeout: declared.timeout,
                    elements: Vec::new(),
                });
                set.add(&declared.elements, now).map_err(Problem::Error)
            }
            Statement::AddChain {
                family,
                table,
                name,
                hook,
                rules,
            } => {
                let table = self.table(family, table)?;
                for rule in &rules {
                    table.check(rule)?;
                }
                match table.chains.iter_mut().find(|chain| chain.name == name) {
                    Some(chain) if hook.is_some() && chain.hook != hook => {
                        error("Could not process rule: File exists")
                    }
                    Some(chain) => {
                        chain.rules.extend(rules);
                        Ok(())
                    }
                    None => {
                        table.chains.push(Chain { name, hook, rules });
                        Ok(())
                    }
                }
            }
            Statement::AddElements {
                family,
                table,
                set,
                elements,
            } => self
                .set(family, table, &set)?
                .add(&elements, now)
                .map_err(Problem::Error),
            Statement::DeleteElements {
                family,
                table,
                set,
                elements,
            } => self
                .set(family, table, &set)?
                .delete(&elements)
                .map_err(Problem::Error),
            Statement::FlushSet { family, table, set } => {
                self.set(family, table, &set)?.elements.clear();
                Ok(())
            }
        }
    }

    fn table(&mut self, family: String, table: String) -> Result<&mut Table, Problem> {
        self.tables
            .get_mut(&(family, table))
            .ok_or_else(|| Problem::Error(MISSING.into()))
    }

    fn set(&mut self, family: String, table: String, set: &str) -> Result<&mut Set, Problem> {
        self.table(family, table)?
            .sets
            .get_mut(set)
            .ok_or_else(|| Problem::Error(MISSING.into()))
    }
}

impl Table {
    fn check(&self, rule: &Rule) -> Result<(), Problem> {
        for expression in &rule.expressions {
            let Expression::Match {
                selector,
                values: Values::Set(name),
                ..
            } = expression
            else {
                continue;
            };
            let Some(set) = self.sets.get(name) else {
                return error(MISSING);
            };
            let Some(kind) = selector.kind() else {
                return Err(Problem::Unknown("nft sets of interfaces or states".into()));
            };
            if set.kind != kind {
                return error(format!(
                    "datatype mismatch, expected {}, expression has type {}",
                    kind.description(),
                    set.kind.description()
                ));
            }
        }
        Ok(())
    }
}
