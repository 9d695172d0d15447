//! What was found, as tables for a person and for the page of results.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use vltava_e2e::Outcome;

use crate::figure::{CLIENT, CPU_PER_GB, Figure, Number, Sample, median, range};
use crate::machine::Machine;
use crate::plot;
use crate::scenario::Scenario;
use crate::subject::{KAFKA, KAFKA_SYNCED, OURS, OURS_UNSYNCED, Subject};

/// From this share of all CPU on, the client is what bounds a rate, in percent.
const CLIENT_BOUND: f64 = 60.0;

/// Who is held against whom: ours as it comes against Kafka as it comes, and like against like.
const PAIRS: [(Subject, Subject, &str); 3] = [
    (OURS, KAFKA, "fsync / Kafka without"),
    (OURS_UNSYNCED, KAFKA, "both without"),
    (OURS, KAFKA_SYNCED, "both fsync"),
];

/// The samples of one scenario.
pub struct Results {
    subjects: Vec<Subject>,
    pairs: usize,
    samples: BTreeMap<Subject, Vec<Sample>>,
}

impl Results {
    /// None yet.
    pub fn new(subjects: &[Subject], pairs: usize) -> Self {
        Self { subjects: subjects.to_vec(), pairs, samples: BTreeMap::new() }
    }

    /// Takes one in; those of one round belong together.
    pub fn take(&mut self, subject: Subject, sample: Sample) {
        self.samples.entry(subject).or_default().push(sample);
    }

    /// Who was measured.
    pub fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    /// All values of a figure, in the order of the rounds.
    pub fn values(&self, subject: Subject, figure: Figure) -> Vec<f64> {
        let samples = self.samples.get(&subject).into_iter().flatten();
        let value = |sample: &Sample| {
            sample.0.iter().find(|(other, _)| *other == figure).map(|(_, value)| *value)
        };
        samples.filter_map(value).collect()
    }

    fn figures(&self) -> Vec<Figure> {
        let first = self.samples.values().flatten().next();
        first.map(|sample| sample.0.iter().map(|(figure, _)| *figure).collect()).unwrap_or_default()
    }

    /// A table in Markdown: a row for each figure, a column for each subject, and the ratios of
    /// the pairs.
    pub fn table(&self) -> String {
        let compared: Vec<_> = PAIRS
            .iter()
            .filter(|(ours, theirs, _)| {
                self.subjects.contains(ours) && self.subjects.contains(theirs)
            })
            .collect();
        let mut text = format!("\n| median (least–most of {}) |", self.pairs);
        self.subjects.iter().for_each(|it| text.push_str(&format!(" {it} |")));
        compared.iter().for_each(|(_, _, name)| text.push_str(&format!(" {name}, each pair |")));
        text.push_str("\n|---|");
        (0..self.subjects.len() + compared.len()).for_each(|_| text.push_str("---|"));
        for figure in self.figures() {
            let _ = write!(text, "\n| {} |", figure.name);
            for subject in &self.subjects {
                let _ = write!(text, " {} |", self.cell(*subject, figure));
            }
            for (ours, theirs, _) in &compared {
                let _ = write!(text, " {} |", self.ratios(*ours, *theirs, figure));
            }
        }
        text.push('\n');
        if self.is_client_bound() {
            text.push_str("\n¹ The client used most of the CPU: it bounds the rate.\n");
        }
        text
    }

    fn cell(&self, subject: Subject, figure: Figure) -> String {
        let values = self.values(subject, figure);
        let (least, most) = range(&values);
        let middle = Number(median(&values));
        let mark = if figure.more_is_better && self.bounds(subject) { "¹" } else { "" };
        match self.pairs {
            1 => format!("{middle}{mark}"),
            _ => format!("**{middle}**{mark} ({}–{})", Number(least), Number(most)),
        }
    }

    fn ratios(&self, ours: Subject, theirs: Subject, figure: Figure) -> String {
        if figure == CLIENT {
            return String::new();
        }
        let (ours, theirs) = (self.values(ours, figure), self.values(theirs, figure));
        let ratio = |(ours, theirs): (&f64, &f64)| format!("{:.2}", ours / theirs);
        ours.iter().zip(&theirs).map(ratio).collect::<Vec<_>>().join(" ")
    }

    fn bounds(&self, subject: Subject) -> bool {
        median(&self.values(subject, CLIENT)) >= CLIENT_BOUND
    }

    fn is_client_bound(&self) -> bool {
        let has_rates = self.figures().iter().any(|it| it.more_is_better || *it == CPU_PER_GB);
        has_rates && self.subjects.iter().any(|it| self.bounds(*it))
    }
}

/// Puts a scenario's results into the page, in place of those of an earlier run, and its plot
/// into the folder beside it.
///
/// # Errors
/// If the page has no place for results, or a file cannot be written.
pub fn write(
    page: &Path,
    machine: &Machine,
    scenario: &Scenario,
    results: &Results,
    command: &str,
) -> Outcome {
    let failed = |error: std::io::Error| format!("{}: {error}", page.display());
    let text = fs::read_to_string(page).map_err(failed)?;
    let stem = page.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = page.with_extension("");
    fs::create_dir_all(&folder).map_err(failed)?;
    let picture = format!("{}.svg", scenario.name);
    fs::write(folder.join(&picture), plot::bars(scenario, results)).map_err(failed)?;
    let (begin, end) = marks(scenario.name);
    let section = format!(
        "{begin}\n### {} {}\n\n{}.\n`{command}`, {}.\n{}\n![{}]({stem}/{picture})\n{end}",
        scenario.number,
        scenario.name,
        capitalised(scenario.title),
        machine.text(),
        results.table(),
        scenario.headline.name,
    );
    let text = replaced(&text, &begin, &end, &section)
        .ok_or_else(|| format!("{} has no line {LAST}", page.display()))?;
    fs::write(page, text).map_err(failed)
}

/// Where new sections go: before this line.
const LAST: &str = "<!-- bench: end of results -->";

fn marks(name: &str) -> (String, String) {
    (format!("<!-- bench: {name} -->"), format!("<!-- bench: end of {name} -->"))
}

fn replaced(text: &str, begin: &str, end: &str, section: &str) -> Option<String> {
    if let (Some(from), Some(to)) = (text.find(begin), text.find(end)) {
        return Some(format!("{}{section}{}", &text[..from], &text[to + end.len()..]));
    }
    let at = text.find(LAST)?;
    Some(format!("{}{section}\n\n{}", &text[..at], &text[at..]))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().collect::<String>());
    format!("{}{}", first.unwrap_or_default(), letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::{P50, RATE};

    fn sample(rate: f64, share: f64) -> Sample {
        Sample::of([(RATE, rate), (CLIENT, share)])
    }

    #[test]
    fn a_rate_that_the_client_bounds_is_marked() {
        let mut results = Results::new(&[OURS, KAFKA], 1);
        results.take(OURS, sample(2000.0, 80.0));
        results.take(KAFKA, sample(1000.0, 30.0));
        let table = results.table();
        assert!(table.contains("| records/s | 2000¹ | 1000 | 2.00 |"), "{table}");
        assert!(table.contains("¹ The client"), "{table}");
    }

    #[test]
    fn each_pair_has_its_ratio() {
        let mut results = Results::new(&[OURS, KAFKA], 2);
        for (ours, theirs) in [(1.0, 2.0), (3.0, 2.0)] {
            results.take(OURS, Sample::of([(P50, ours)]));
            results.take(KAFKA, Sample::of([(P50, theirs)]));
        }
        let table = results.table();
        assert!(table.contains("| **2.00** (1.00–3.00) | **2.00** (2.00–2.00) | 0.50 1.50 |"));
    }

    #[test]
    fn a_section_replaces_the_one_before() {
        let (begin, end) = marks("a");
        let page = format!("top\n{LAST}\n");
        let once = replaced(&page, &begin, &end, &format!("{begin}1{end}")).expect("a place");
        let twice = replaced(&once, &begin, &end, &format!("{begin}2{end}")).expect("a place");
        assert_eq!(twice, format!("top\n{begin}2{end}\n\n{LAST}\n"));
        assert!(replaced("no place", &begin, &end, "").is_none());
    }
}
