//! Samples of one quantity, and what is said of them.

/// Measured values, in the order of the rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(pub(crate) Vec<f64>);

impl Sample {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The value below which this share of all lies (nearest rank).
    fn quantile(&self, share: f64) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank among a few hundred"
        )]
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied()
    }

    pub(crate) fn median(&self) -> Option<f64> {
        self.quantile(0.5)
    }

    pub(crate) fn p95(&self) -> Option<f64> {
        self.quantile(0.95)
    }

    pub(crate) fn largest(&self) -> Option<f64> {
        self.quantile(1.0)
    }

    /// Median of the ratios of each round: what slows a whole round down (another program, a hot processor) slows both
    /// sides of the fraction.
    pub(crate) fn ratio(&self, other: &Self) -> Option<f64> {
        let pairs = self.0.iter().zip(&other.0);
        Self(pairs.map(|(ours, theirs)| ours / theirs).collect()).median()
    }
}

#[cfg(test)]
mod tests {
    use super::Sample;

    #[test]
    fn ranks_are_values_that_were_measured() {
        let sample = Sample((1..=20).rev().map(f64::from).collect());
        assert_eq!(
            (sample.median(), sample.p95(), sample.largest()),
            (Some(10.0), Some(19.0), Some(20.0))
        );
        assert_eq!(Sample::default().median(), None);
    }

    #[test]
    fn a_slow_round_does_not_change_the_ratio() {
        let ours = Sample(vec![1.0, 10.0, 1.2]);
        let theirs = Sample(vec![2.0, 20.0, 2.0]);
        assert_eq!(ours.ratio(&theirs), Some(0.5));
    }
}
