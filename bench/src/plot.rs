//! Plots as SVG: a bar for each subject at the median, a line from the least to the most.

use std::fmt::Write as _;

use crate::figure::{Number, median, range};
use crate::report::Results;
use crate::scenario::Scenario;
use crate::subject::Side;

const WIDTH: f64 = 640.0;
const LABELS: f64 = 150.0;
const VALUES: f64 = 90.0;
const ROW: f64 = 30.0;
const TOP: f64 = 34.0;

/// The bars of a scenario's headline figure.
pub fn bars(scenario: &Scenario, results: &Results) -> String {
    let figure = scenario.headline;
    let rows: Vec<_> = results
        .subjects()
        .iter()
        .map(|subject| (*subject, results.values(*subject, figure)))
        .collect();
    let most = rows.iter().map(|(_, values)| range(values).1).fold(f64::MIN_POSITIVE, f64::max);
    let scale = (WIDTH - LABELS - VALUES) / most;
    let height = TOP + ROW * rows.len() as f64 + 8.0;
    let better = if figure.more_is_better { "more is better" } else { "less is better" };
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"8\" y=\"20\" font-weight=\"bold\">{}: {} ({better})</text>\n",
        scenario.name, figure.name,
    );
    for (at, (subject, values)) in rows.iter().enumerate() {
        let y = TOP + ROW * at as f64;
        let (least, most) = range(values);
        let middle = median(values);
        let colour = match subject.side {
            Side::Vltava => "#2a6fb0",
            Side::Kafka => "#b0b0b0",
        };
        let line = y + ROW / 2.0 - 4.0;
        let _ = writeln!(
            text,
            "<text x=\"8\" y=\"{:.1}\">{subject}</text>\n\
             <rect x=\"{LABELS}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
             fill=\"{colour}\"/>\n\
             <path d=\"M{:.1} {line:.1}H{:.1}\" stroke=\"black\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            y + 16.0,
            y + 2.0,
            middle * scale,
            ROW - 12.0,
            LABELS + least * scale,
            LABELS + most * scale,
            LABELS + most * scale + 6.0,
            y + 16.0,
            Number(middle),
        );
    }
    text.push_str("</svg>\n");
    text
}
