//! The classes of a model: index, WordNet id, name.

use crate::error::{Error, ErrorKind, Result};

/// Names and WordNet ids of all classes, by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    names: Vec<String>,
    wnids: Vec<String>,
}

impl Labels {
    /// Parses two JSON arrays of strings of equal length.
    ///
    /// # Errors
    /// A sentence that says which array is wrong and how.
    pub fn from_json(names: &str, wnids: &str) -> std::result::Result<Self, String> {
        let parse = |key: &str, json: &str| -> std::result::Result<Vec<String>, String> {
            serde_json::from_str(json)
                .map_err(|error| format!("metadata entry {key:?} is no list of strings: {error}"))
        };
        let (names, wnids) = (parse("labels", names)?, parse("wnids", wnids)?);
        if names.len() != wnids.len() || names.is_empty() {
            return Err(format!(
                "{} labels for {} WordNet ids",
                names.len(),
                wnids.len()
            ));
        }
        Ok(Self { names, wnids })
    }

    /// How many classes there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are no classes; never true for a loaded model.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Name of a class, such as `Egyptian_cat`.
    pub fn name(&self, index: usize) -> &str {
        self.names.get(index).map_or("?", String::as_str)
    }

    /// WordNet id of a class, such as `n02124075`.
    pub fn wnid(&self, index: usize) -> &str {
        self.wnids.get(index).map_or("?", String::as_str)
    }

    /// Finds a class by index, WordNet id or name (case, spaces and underscores alike).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if there is none or the name is ambiguous (`crane` is a bird and a machine);
    /// close names are suggested.
    pub fn find(&self, query: &str) -> Result<usize> {
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
        // Files of one's own may have ids or names that are empty.
        if query.trim().is_empty() {
            return invalid("no class is named: it is empty".to_owned());
        }
        if let Ok(index) = query.parse::<usize>() {
            if index < self.len() {
                return Ok(index);
            }
            return invalid(format!(
                "class index {index} is out of range, valid are 0 to {}",
                self.len() - 1
            ));
        }
        if let Some(index) = self.wnids.iter().position(|wnid| wnid == query) {
            return Ok(index);
        }
        let wanted = fold(query);
        let exact = self.matching(|name| name == wanted);
        match exact.as_slice() {
            [index] => Ok(*index),
            [] => {
                let close = self.matching(|name| !wanted.is_empty() && name.contains(&wanted));
                let suggestion = if close.is_empty() {
                    "give an index, a WordNet id or an ImageNet name".to_owned()
                } else {
                    format!(
                        "did you mean {}?",
                        self.describe(&close[..close.len().min(5)])
                    )
                };
                invalid(format!("unknown class {query:?}; {suggestion}"))
            }
            several => invalid(format!(
                "class {query:?} is ambiguous: {}; give the index",
                self.describe(several)
            )),
        }
    }

    fn matching(&self, is_match: impl Fn(&str) -> bool) -> Vec<usize> {
        (0..self.len())
            .filter(|index| is_match(&fold(&self.names[*index])))
            .collect()
    }

    fn describe(&self, indices: &[usize]) -> String {
        let one =
            |index: &usize| format!("{} ({}, {})", self.name(*index), index, self.wnid(*index));
        indices.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// Lower case, spaces as underscores: how names are compared.
fn fold(name: &str) -> String {
    name.trim().to_lowercase().replace([' ', '-'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Labels {
        Labels::from_json(
            r#"["Egyptian_cat", "crane", "tabby", "crane"]"#,
            r#"["n02124075", "n02012849", "n02123045", "n03126707"]"#,
        )
        .unwrap()
    }

    #[test]
    fn a_class_is_found_by_index_id_or_name() {
        let labels = labels();
        assert_eq!(labels.find("2").unwrap(), 2);
        assert_eq!(labels.find("n02124075").unwrap(), 0);
        assert_eq!(labels.find("egyptian cat").unwrap(), 0);
    }

    #[test]
    fn unknown_and_ambiguous_names_are_explained() {
        let labels = labels();
        let error = |query| labels.find(query).unwrap_err().one_line();
        assert!(error("crane").contains("ambiguous: crane (1, n02012849), crane (3, n03126707)"));
        assert!(error("cat").contains("did you mean Egyptian_cat (0, n02124075)?"));
        assert!(error("4").contains("valid are 0 to 3"));
        assert!(error(" ").contains("no class is named"));
        assert!(error("unicorn").contains("unknown class \"unicorn\""));
    }

    #[test]
    fn lists_of_different_length_are_refused() {
        assert!(Labels::from_json(r#"["a"]"#, r#"["n1", "n2"]"#).is_err());
        assert!(Labels::from_json("[1]", r#"["n1"]"#).is_err());
    }
}
