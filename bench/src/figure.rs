//! What is measured: figures with their units, samples of them, and what many samples say.

use std::fmt;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// What it is, with its unit.
    pub name: &'static str,
    /// Whether more of it is better; of most figures, less is.
    pub more_is_better: bool,
}

impl Figure {
    /// A figure of which less is better.
    pub const fn cost(name: &'static str) -> Self {
        Self { name, more_is_better: false }
    }

    /// A figure of which more is better.
    pub const fn yield_of(name: &'static str) -> Self {
        Self { name, more_is_better: true }
    }
}

/// Records a second.
pub const RATE: Figure = Figure::yield_of("records/s");
/// CPU of all nodes.
pub const CPU_PER_GB: Figure = Figure::cost("nodes' CPU-s/GB");
/// CPU of all nodes for a record.
pub const CPU_PER_RECORD: Figure = Figure::cost("nodes' CPU µs/record");
/// The median of a latency.
pub const P50: Figure = Figure::cost("p50 ms");
/// The 99th percentile of a latency.
pub const P99: Figure = Figure::cost("p99 ms");
/// The 99.9th percentile of a latency.
pub const P999: Figure = Figure::cost("p99.9 ms");
/// The largest latency.
pub const MAX: Figure = Figure::cost("max ms");
/// Resident memory of all nodes.
pub const RESIDENT: Figure = Figure::cost("resident MiB, all nodes");
/// The client's share of all CPU: from about 60 % on it is the client that bounds the rate.
pub const CLIENT: Figure = Figure::cost("client's share of CPU %");

/// What one run found.
#[derive(Clone, Debug, Default)]
pub struct Sample(pub Vec<(Figure, f64)>);

impl Sample {
    /// A sample of these figures.
    pub fn of<const N: usize>(figures: [(Figure, f64); N]) -> Self {
        Self(figures.to_vec())
    }

    /// Adds what another one found.
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (figure, value)) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { " · " };
            write!(f, "{separator}{} {}", Number(*value), figure.name)?;
        }
        Ok(())
    }
}

/// A number with three significant digits or so.
#[derive(Clone, Copy, Debug)]
pub struct Number(pub f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        match value.abs() {
            0.0 => f.write_str("0"),
            1e6.. => write!(f, "{:.2} M", value / 1e6),
            1e4.. => write!(f, "{:.0} k", value / 1e3),
            100.0.. => write!(f, "{value:.0}"),
            10.0.. => write!(f, "{value:.1}"),
            1.0.. => write!(f, "{value:.2}"),
            _ => write!(f, "{value:.3}"),
        }
    }
}

/// The middle value; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}

/// The least and the largest value; zeros of none.
pub fn range(values: &[f64]) -> (f64, f64) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let fold = |with: fn(f64, f64) -> f64| values.iter().copied().reduce(with).unwrap_or(0.0);
    (fold(f64::min), fold(f64::max))
}

/// Percentiles of latencies in milliseconds.
pub fn percentiles(mut latencies_ms: Vec<f64>) -> Sample {
    latencies_ms.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let last = latencies_ms.len().saturating_sub(1);
        latencies_ms.get((last as f64 * share).round() as usize).copied().unwrap_or(0.0)
    };
    Sample::of([(P50, at(0.5)), (P99, at(0.99)), (P999, at(0.999)), (MAX, at(1.0))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_of_values_lies_between_the_two_in_the_middle() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(&[9.0, 1.0, 3.0]), 3.0);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn percentiles_take_the_value_at_their_rank() {
        let Sample(figures) = percentiles((0..=1000).map(f64::from).rev().collect());
        let values: Vec<f64> = figures.iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [500.0, 990.0, 999.0, 1000.0]);
    }

    #[test]
    fn numbers_are_told_in_three_digits() {
        let told: Vec<String> = [0.0, 0.1234, 1.234, 12.34, 123.4, 1234.0, 312_345.0, 1_070_000.0]
            .map(|it| Number(it).to_string())
            .to_vec();
        assert_eq!(told, ["0", "0.123", "1.23", "12.3", "123", "1234", "312 k", "1.07 M"]);
    }
}
