//! The measurements of one run of a server, and statistics over many.

use std::time::Duration;

/// The measurements of one server in one round.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Bytes moved, or operations done.
    pub amount: f64,
    pub seconds: f64,
    /// Processor time of the server's process, in seconds.
    pub cpu: f64,
    /// The latency of each operation, if the workload measures it.
    pub latencies: Vec<Duration>,
    /// The peak of the server's resident memory, in bytes.
    pub peak: u64,
    /// Requests that were sent again because the server was busy.
    pub refused: usize,
}

impl Sample {
    pub fn rate(&self) -> f64 {
        self.amount / self.seconds
    }

    pub fn cpu_each(&self) -> f64 {
        self.cpu / self.amount
    }
}

/// The samples of one server for one workload, one for each round.
#[derive(Clone, Debug, Default)]
pub struct Samples(pub Vec<Sample>);

impl Samples {
    /// Returns the median of `of` over the samples.
    pub fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.0.iter().map(of).collect())
    }

    pub fn rate(&self) -> f64 {
        self.median(Sample::rate)
    }

    /// Returns the seconds of processor time for one byte or operation.
    pub fn cpu_each(&self) -> f64 {
        self.median(Sample::cpu_each)
    }

    /// Returns a percentile of the latencies in all rounds. `share` is 0.99 for the p99.
    pub fn latency(&self, share: f64) -> Option<Duration> {
        let mut all: Vec<Duration> = self.0.iter().flat_map(|sample| sample.latencies.iter().copied()).collect();
        all.sort_unstable();
        let last = all.len().checked_sub(1)?;
        all.get(((all.len() as f64 * share).ceil() as usize).saturating_sub(1).min(last)).copied()
    }

    pub fn refused(&self) -> usize {
        self.0.iter().map(|sample| sample.refused).sum()
    }

    pub fn peak(&self) -> u64 {
        self.0.iter().map(|sample| sample.peak).max().unwrap_or_default()
    }
}

/// A ratio of medians, and the least and the greatest ratio within one round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    pub of_medians: f64,
    pub least: f64,
    pub most: f64,
}

/// Returns the ratio of `ours` to `theirs`.
pub fn ratio(ours: &Samples, theirs: &Samples, of: impl Fn(&Sample) -> f64) -> Ratio {
    let pairs = ours.0.iter().zip(&theirs.0).map(|(ours, theirs)| of(ours) / of(theirs));
    let (least, most) = pairs.fold((f64::INFINITY, 0.0_f64), |(least, most), each| (least.min(each), most.max(each)));
    Ratio { of_medians: ours.median(&of) / theirs.median(&of), least, most }
}

/// Returns the middle value, or the mean of the two middle values. Returns NaN if there are no values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(rates: &[f64]) -> Samples {
        Samples(rates.iter().map(|rate| Sample { amount: *rate, seconds: 1.0, ..Sample::default() }).collect())
    }

    #[test]
    fn a_median_does_not_depend_on_the_order() {
        for (values, middle) in [(&[3.0, 1.0, 2.0][..], 2.0), (&[4.0, 1.0, 2.0, 3.0], 2.5), (&[7.0], 7.0)] {
            assert_eq!(median(values.to_vec()), middle, "{values:?}");
        }
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn a_ratio_compares_medians_and_its_bounds_compare_pairs() {
        let found = ratio(&samples(&[10.0, 40.0, 20.0]), &samples(&[10.0, 10.0, 8.0]), Sample::rate);
        assert_eq!(found, Ratio { of_medians: 2.0, least: 1.0, most: 4.0 });
    }

    #[test]
    fn a_percentile_is_one_of_the_latencies() {
        let latencies = (1..=200).map(Duration::from_micros).collect();
        let samples = Samples(vec![Sample { latencies, ..Sample::default() }]);
        for (share, micros) in [(0.5, 100), (0.99, 198), (1.0, 200)] {
            assert_eq!(samples.latency(share), Some(Duration::from_micros(micros)));
        }
        assert_eq!(Samples::default().latency(0.5), None);
    }
}
