//! `gradcam-video summary`: the layer table, as Keras prints it.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Context;
use gradcam_video::model::ModelSpec;
use gradcam_video::model::summary::{LayerRow, layer_table};

use super::Outcome;
use super::args::SummaryArgs;
use super::model::load_weights;

pub(super) fn run(args: &SummaryArgs) -> anyhow::Result<Outcome> {
    let weights = load_weights(args.weights.weights.as_deref())?;
    let spec = ModelSpec::from_weights(&weights)?;
    let table = format_table(&spec.arch, &layer_table(&spec));
    std::io::stdout()
        .write_all(table.as_bytes())
        .context("cannot write the summary")?;
    Ok(Outcome::Done)
}

fn format_table(arch: &str, rows: &[LayerRow]) -> String {
    let cells: Vec<[String; 4]> = rows
        .iter()
        .map(|row| {
            let shape: Vec<_> = row.output_shape.iter().map(usize::to_string).collect();
            [
                format!("{} ({})", row.name, row.kind),
                format!("(None, {})", shape.join(", ")),
                with_separators(row.parameters),
                format!("[{}]", row.connected_to.join(", ")),
            ]
        })
        .collect();
    let titles = ["Layer (type)", "Output Shape", "Param #", "Connected to"];
    let width = |column: usize| {
        let longest = cells.iter().map(|row| row[column].len()).max().unwrap_or(0);
        longest.max(titles[column].len())
    };
    let widths = [width(0), width(1), width(2), width(3)];
    let line = |row: [&str; 4]| {
        let [name, shape, parameters, inputs] = row;
        let text = format!(
            "{name:0$}  {shape:1$}  {parameters:>2$}  {inputs}",
            widths[0], widths[1], widths[2]
        );
        text.trim_end().to_owned() + "\n"
    };
    let rule = "=".repeat(widths.iter().sum::<usize>() + 6) + "\n";
    let mut table = format!("Model: \"{arch}\"\n{rule}{}{rule}", line(titles));
    for [name, shape, parameters, inputs] in &cells {
        table += &line([name, shape, parameters, inputs]);
    }
    let total: usize = rows.iter().map(|row| row.parameters).sum();
    // Batch normalisation has two trained and two observed values per channel.
    let observed: usize = rows
        .iter()
        .filter(|row| row.kind == "BatchNormalization")
        .map(|row| row.parameters / 2)
        .sum();
    table += &rule;
    let _ = writeln!(table, "Total params: {}", with_separators(total));
    let _ = writeln!(
        table,
        "Trainable params: {}",
        with_separators(total - observed)
    );
    let _ = writeln!(table, "Non-trainable params: {}", with_separators(observed));
    table
}

fn with_separators(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(with_separators(25_636_712), "25,636,712");
        assert_eq!(with_separators(0), "0");
        assert_eq!(with_separators(100), "100");
    }
}
