//! Names that were looked up among the classes.

use std::collections::HashMap;

use crate::model::Labels;

/// Names that are remembered. The whole of `ImageNet` has 22,000 classes.
pub(super) const MAX_NAMES: usize = 50_000;
/// Names that are told.
const MAX_TOLD: usize = 20;
/// Characters of a reason that are told.
const MAX_REASON_LENGTH: usize = 300;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resolved {
    Class(usize),
    Unknown(String),
}

impl Resolved {
    pub(super) fn of(name: &str, labels: &Labels) -> Self {
        match labels.find(name) {
            Ok(class) => Self::Class(class),
            Err(error) => {
                let reason = error.one_line();
                Self::Unknown(reason.chars().take(MAX_REASON_LENGTH).collect())
            }
        }
    }

    /// Whether the name is that of several classes.
    pub(super) fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Unknown(reason) if reason.contains("is ambiguous"))
    }
}

/// Each name with its class, or why it has none and how often that mattered.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_name: HashMap<String, (Resolved, u64)>,
    /// How often names mattered that are not remembered.
    forgotten: u64,
}

impl Names {
    pub(super) fn get(&self, name: &str) -> Option<Resolved> {
        self.by_name.get(name).map(|(resolved, _)| resolved.clone())
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Remembers a name, if there is room.
    pub(super) fn insert(&mut self, name: &str, resolved: Resolved) {
        if self.by_name.len() < MAX_NAMES {
            self.by_name.entry(name.to_owned()).or_insert((resolved, 0));
        }
    }

    /// Something has no class because of this name.
    pub(super) fn count(&mut self, name: &str) {
        match self.by_name.get_mut(name) {
            Some((_, count)) => *count += 1,
            None => self.forgotten += 1,
        }
    }

    /// The names that mattered, the most frequent first; `things` is what was counted.
    pub(super) fn notices(&self, things: &str) -> Vec<String> {
        let unknown = self
            .by_name
            .iter()
            .filter_map(|(name, (resolved, count))| match resolved {
                Resolved::Unknown(reason) if *count > 0 => {
                    Some((std::cmp::Reverse(*count), name, reason))
                }
                _ => None,
            });
        let mut unknown: Vec<_> = unknown.collect();
        unknown.sort_unstable();
        let (told, others) = unknown.split_at(unknown.len().min(MAX_TOLD));
        let tell = |(count, _, reason): &(std::cmp::Reverse<u64>, &String, &String)| {
            format!("{reason} ({})", counted(count.0, things))
        };
        let mut notices: Vec<String> = told.iter().map(tell).collect();
        let rest = others.iter().map(|(count, ..)| count.0).sum::<u64>() + self.forgotten;
        if rest > 0 {
            let at_least = if self.forgotten > 0 { "at least " } else { "" };
            let names = counted(others.len() as u64 + self.forgotten.min(1), "more name");
            let is = if names.starts_with("1 ") { "is" } else { "are" };
            notices.push(format!(
                "and {at_least}{names} that {is} no class ({})",
                counted(rest, things)
            ));
        }
        notices
    }
}

/// Such as `1 file` or `2 files`.
pub(super) fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_limit_are_counted_all_the_same() {
        let mut names = Names::default();
        for number in 0..=MAX_NAMES + 1 {
            let name = number.to_string();
            names.insert(&name, Resolved::Unknown(format!("unknown {name}")));
            names.count(&name);
        }
        assert_eq!(names.len(), MAX_NAMES);
        let notices = names.notices("row");
        assert_eq!(notices.len(), MAX_TOLD + 1);
        assert_eq!(notices[1], "unknown 1 (1 row)");
        assert_eq!(
            notices[MAX_TOLD],
            "and at least 49981 more names that are no class (49982 rows)"
        );
    }

    #[test]
    fn reasons_are_short() {
        let labels = Labels::from_json(r#"["tabby"]"#, r#"["n02123045"]"#).unwrap();
        let Resolved::Unknown(reason) = Resolved::of(&"ä".repeat(100_000), &labels) else {
            panic!("there is no such class");
        };
        assert_eq!(reason.chars().count(), MAX_REASON_LENGTH);
    }
}
