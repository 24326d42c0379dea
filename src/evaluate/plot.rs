//! Deletion and insertion curves as one SVG: left what the probability does as pixels disappear, right as they appear.
//!
//! Text stays text in the SVG, so that no font is needed here; the viewer brings its own.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::MethodMeans;

/// Width of a panel in pixels: chart, then legend.
const PANEL_WIDTH: u32 = 680;

/// Where a panel's legend begins.
const LEGEND_LEFT: u32 = 460;

/// Least height of the plot.
const HEIGHT: u32 = 440;

/// Height of the title.
const TITLE: i32 = 40;

/// Height of a line of the legend.
const LEGEND_LINE: i32 = 22;

/// Colours of the methods in their order, easy to tell apart (matplotlib's `tab10` without its grey, then darker ones).
const COLOURS: [RGBColor; 14] = [
    RGBColor(31, 119, 180),
    RGBColor(255, 127, 14),
    RGBColor(44, 160, 44),
    RGBColor(214, 39, 40),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
    RGBColor(227, 119, 194),
    RGBColor(188, 189, 34),
    RGBColor(23, 190, 207),
    RGBColor(0, 0, 0),
    RGBColor(12, 60, 100),
    RGBColor(130, 10, 20),
    RGBColor(20, 90, 30),
    RGBColor(200, 160, 0),
];

/// Greys of the baselines in their order.
const GREYS: [RGBColor; 2] = [RGBColor(90, 90, 90), RGBColor(160, 160, 160)];

/// Length of a baseline's dashes, and of the gaps between them, in pixels.
const DASH: (i32, i32) = (6, 4);

/// What one panel shows of a method.
struct Line<'a> {
    name: &'a str,
    is_baseline: bool,
    colour: RGBColor,
    curve: &'a [f64],
    auc: f64,
}

/// The mean curves of all methods, in the order of their areas from best to worst in each legend; baselines are grey and dashed.
///
/// # Errors
/// [`ErrorKind::Internal`] if the plot cannot be drawn.
pub fn plot(methods: &[MethodMeans]) -> Result<String> {
    let height = HEIGHT.max((TITLE + LEGEND_LINE * (methods.len() as i32 + 2)).unsigned_abs());
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (2 * PANEL_WIDTH, height)).into_drawing_area();
        draw(&area, methods).map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                format!("cannot draw the curves: {error}"),
            )
        })?;
    }
    Ok(svg)
}

type Drawing<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error + Send + Sync>>;

fn draw(area: &Drawing<'_>, methods: &[MethodMeans]) -> Drawn {
    area.fill(&WHITE)?;
    let (left, right) = area.split_horizontally(PANEL_WIDTH);
    let mut deletion = lines(methods, |means| (&means.deletion_curve, means.deletion_auc));
    deletion.sort_by(|a, b| a.auc.total_cmp(&b.auc));
    panel(
        &left,
        ["Deletion (lower is better)", "share of pixels removed"],
        &deletion,
    )?;
    let mut insertion = lines(methods, |means| {
        (&means.insertion_curve, means.insertion_auc)
    });
    insertion.sort_by(|a, b| b.auc.total_cmp(&a.auc));
    panel(
        &right,
        ["Insertion (higher is better)", "share of pixels inserted"],
        &insertion,
    )?;
    area.present()?;
    Ok(())
}

fn lines(methods: &[MethodMeans], of: fn(&MethodMeans) -> (&Vec<f64>, f64)) -> Vec<Line<'_>> {
    let (mut colours, mut greys) = (COLOURS.iter().cycle(), GREYS.iter().cycle());
    methods
        .iter()
        .map(|means| {
            let (curve, auc) = of(means);
            let palette = if means.is_baseline {
                &mut greys
            } else {
                &mut colours
            };
            Line {
                name: means.method,
                is_baseline: means.is_baseline,
                colour: palette.next().copied().unwrap_or_default(),
                curve,
                auc,
            }
        })
        .collect()
}

fn panel(area: &Drawing<'_>, [title, axis]: [&str; 2], lines: &[Line<'_>]) -> Drawn {
    let (chart_area, legend_area) = area.split_horizontally(LEGEND_LEFT);
    let mut chart = ChartBuilder::on(&chart_area)
        .caption(title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(42)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
    chart
        .configure_mesh()
        .x_desc(axis)
        .y_desc("probability of the class")
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|value| format!("{value:.1}"))
        .y_label_formatter(&|value| format!("{value:.1}"))
        .axis_desc_style(("sans-serif", 14))
        .label_style(("sans-serif", 12))
        .max_light_lines(1)
        .draw()?;
    // The last drawn lies on top: that is the best one.
    for line in lines.iter().rev() {
        let steps = line.curve.len().saturating_sub(1).max(1) as f64;
        let points = line.curve.iter().enumerate();
        let points = points.map(|(step, score)| (step as f64 / steps, *score));
        if line.is_baseline {
            let (dash, gap) = DASH;
            let style = line.colour.stroke_width(2);
            chart.draw_series(DashedLineSeries::new(points, dash, gap, style))?;
        } else {
            chart.draw_series(LineSeries::new(points, line.colour.stroke_width(2)))?;
        }
    }
    legend(&legend_area, lines)
}

fn legend(area: &Drawing<'_>, lines: &[Line<'_>]) -> Drawn {
    let style = TextStyle::from(("sans-serif", 14)).pos(Pos::new(HPos::Left, VPos::Center));
    let text = |text: String, x: i32, y: i32| Text::new(text, (x, y), style.clone());
    area.draw(&text("mean area under the curve".to_owned(), 0, TITLE))?;
    for (row, line) in (1..).zip(lines) {
        let y = TITLE + LEGEND_LINE * row;
        let stroke = line.colour.stroke_width(3);
        let (dash, gap) = if line.is_baseline { DASH } else { (26, 0) };
        for left in (0..26).step_by((dash + gap).unsigned_abs() as usize) {
            area.draw(&PathElement::new([(left, y), (left + dash, y)], stroke))?;
        }
        area.draw(&text(format!("{:.3} {}", line.auc, line.name), 36, y))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(method: &'static str, is_baseline: bool, end: f64) -> MethodMeans {
        MethodMeans {
            method,
            is_baseline,
            pictures: 1,
            deletion_auc: end / 2.0,
            insertion_auc: 0.75,
            average_drop_percent: 0.0,
            increase_percent: 0.0,
            road: 0.0,
            pointing_percent: None,
            energy_in_box: None,
            deletion_curve: (0..=20)
                .map(|step| 0.9 - (0.9 - end) * f64::from(step) / 20.0)
                .collect(),
            insertion_curve: (0..=20)
                .map(|step| (f64::from(step) / 20.0).sqrt())
                .collect(),
        }
    }

    #[test]
    fn names_areas_and_axes_are_text() {
        let methods = [means("grad-cam", false, 0.1), means("centre", true, 0.5)];
        let svg = plot(&methods).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for text in [
            "0.050 grad-cam",
            "0.250 centre",
            "0.750 grad-cam",
            "share of pixels removed",
            "share of pixels inserted",
            "probability of the class",
        ] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        assert!(svg.to_lowercase().contains("#1f77b4"));
        assert_eq!(svg, plot(&methods).unwrap());
    }

    #[test]
    fn nothing_to_plot_is_an_empty_plot() {
        assert!(plot(&[]).unwrap().contains("Deletion"));
    }
}
