//! The cases that are known to differ: wanted differences, and what is not built yet.
//!
//! An entry is `CASE: REASON`, or `CASE: {reason: REASON, steps: [N, …]}` where exactly those steps differ (0 is the
//! start of the server). An entry whose case passes, or differs elsewhere, fails the run: so none outlives its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::Error;
use crate::run::Outcome;
use crate::value::{self, Value};

/// Why a case differs, and where.
#[derive(Debug, Clone)]
pub struct Known {
    /// The file that says so.
    pub list: String,
    /// The reason.
    pub reason: String,
    steps: Option<BTreeSet<usize>>,
}

/// What the lists say, by the name of the case.
pub type Lists = BTreeMap<String, Known>;

/// Reads the lists that are there.
///
/// # Errors
/// When one is no such list, names a case that does not exist, or has no reason.
pub fn read(files: &[&Path], cases: &BTreeSet<String>) -> Result<Lists, Error> {
    let mut lists = Lists::new();
    for file in files.iter().filter(|file| file.exists()) {
        let list = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        for (case, entry) in value::parse(&std::fs::read_to_string(file)?)?.entries() {
            let known = Known::of(&list, entry).ok_or_else(|| Error::Case(format!("{list}: {case}: no reason")))?;
            if !cases.contains(case) {
                return Err(Error::Case(format!("{list}: {case}: there is no such case")));
            }
            if lists.insert(case.clone(), known).is_some() {
                return Err(Error::Case(format!("{list}: {case}: is in another list as well")));
            }
        }
    }
    Ok(lists)
}

impl Known {
    fn of(list: &str, entry: &Value) -> Option<Self> {
        let reason = entry.as_str().or_else(|| entry.str_of("reason")).filter(|reason| !reason.is_empty())?;
        let steps =
            entry.get("steps").map(|_| entry.list_of("steps").iter().filter_map(|one| one.parse().ok()).collect());
        Some(Self { list: list.into(), reason: reason.into(), steps })
    }

    /// Why an outcome is not the known difference; nothing if it is.
    pub fn contradicted_by(&self, outcome: &Outcome) -> Option<String> {
        if outcome.problems.is_empty() {
            return Some(format!("it passes: take it out of {} ({})", self.list, self.reason));
        }
        if outcome.problems.iter().any(|problem| problem.step.is_none()) {
            return Some(format!("{} does not excuse that ({})", self.list, self.reason));
        }
        let differ: BTreeSet<usize> = outcome.problems.iter().filter_map(|problem| problem.step).collect();
        let steps = self.steps.as_ref().filter(|steps| **steps != differ)?;
        Some(format!("steps {differ:?} differ, {} has {steps:?} ({})", self.list, self.reason))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::run::Problem;

    fn known(entry: &str) -> Known {
        Known::of("later.yaml", &value::parse(entry).unwrap()).unwrap()
    }

    fn outcome(steps: &[Option<usize>]) -> Outcome {
        let problems = steps.iter().map(|step| Problem { step: *step, lines: Vec::new() }).collect();
        Outcome { problems, ..Outcome::default() }
    }

    #[test]
    fn a_case_that_differs_as_listed_is_excused() {
        assert!(known("not yet").contradicted_by(&outcome(&[Some(2)])).is_none());
        assert!(known("{reason: not yet, steps: [2, 3]}").contradicted_by(&outcome(&[Some(3), Some(2)])).is_none());
    }

    #[test]
    fn an_entry_whose_case_passes_is_out_of_date() {
        assert!(known("not yet").contradicted_by(&outcome(&[])).unwrap().contains("passes"));
    }

    #[test]
    fn an_entry_excuses_no_other_steps_and_no_panic() {
        assert!(known("{reason: not yet, steps: [2]}").contradicted_by(&outcome(&[Some(3)])).is_some());
        assert!(known("{reason: not yet, steps: [2]}").contradicted_by(&outcome(&[Some(2), Some(3)])).is_some());
        assert!(known("not yet").contradicted_by(&outcome(&[Some(2), None])).is_some());
    }

    #[test]
    fn entries_without_a_case_or_a_reason_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("later.yaml");
        let cases = BTreeSet::from(["a/b".to_owned()]);
        let read_text = |text: &str| {
            std::fs::write(&file, text).unwrap();
            read(&[&file], &cases)
        };
        assert_eq!(read_text("a/b: x").unwrap().len(), 1);
        assert!(read_text("a/c: x").is_err());
        assert!(read_text("a/b: {steps: [1]}").is_err());
    }
}
