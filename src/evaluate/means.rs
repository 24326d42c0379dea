//! Means over pictures.

/// The mean, or `None` of nothing.
pub(super) fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0usize);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / count as f64)
}

/// The mean value at every place of several equally long lists.
pub(super) fn mean_list<'a>(lists: impl IntoIterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    let mut sums: Vec<f64> = Vec::new();
    let mut count = 0usize;
    for list in lists {
        sums.resize(list.len().max(sums.len()), 0.0);
        for (sum, value) in sums.iter_mut().zip(list) {
            *sum += value;
        }
        count += 1;
    }
    sums.into_iter().map(|sum| sum / count as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_of_nothing_are_none() {
        assert_eq!(mean([]), None);
        assert_eq!(mean([1.0, 2.0]), Some(1.5));
        assert_eq!(mean_list([&vec![1.0, 2.0], &vec![3.0, 6.0]]), [2.0, 4.0]);
    }
}
