//! What the documents promise of tests is there.

use std::fs;

use crate::common::file;

#[test]
fn every_row_of_the_video_table_names_tests_that_exist() {
    let text = fs::read_to_string(file("docs/VIDEO.md")).unwrap();
    for row in 1..=31 {
        let start = format!("| {row} | ");
        let line = text.lines().find(|line| line.starts_with(&start)).unwrap();
        let tests = line.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let names: Vec<&str> = tests
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| name.contains("::"))
            .collect();
        assert!(!names.is_empty(), "row {row} names no test");
        for name in names {
            let (place, function) = name.split_once("::").unwrap();
            let path = if place.starts_with("src/") {
                place.to_owned()
            } else {
                ["program", "library"]
                    .map(|folder| format!("tests/{folder}/{place}.rs"))
                    .into_iter()
                    .find(|path| file(path).exists())
                    .unwrap_or_else(|| panic!("row {row}: there is no {place}.rs"))
            };
            let source = fs::read_to_string(file(&path)).unwrap();
            let wanted = if function == "*" {
                "#[test]".to_owned()
            } else {
                format!("fn {function}(")
            };
            assert!(source.contains(&wanted), "row {row}: {name}");
        }
    }
}
