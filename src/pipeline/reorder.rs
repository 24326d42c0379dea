//! Brings results that workers finish in any order back into frame order.

use std::collections::BTreeMap;

use crate::frame::FrameIndex;

/// Holds items back until all earlier ones have come. Its size is bounded by the number of frames in flight.
#[derive(Debug)]
pub(crate) struct Reorder<T> {
    next: u64,
    waiting: BTreeMap<u64, T>,
}

impl<T> Reorder<T> {
    /// Expects frame 0 first.
    pub(crate) fn new() -> Self {
        Self {
            next: 0,
            waiting: BTreeMap::new(),
        }
    }

    /// Takes an item in.
    pub(crate) fn insert(&mut self, index: FrameIndex, item: T) {
        self.waiting.insert(index.0, item);
    }

    /// The next item in order, if it is there.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let item = self.waiting.remove(&self.next)?;
        self.next += 1;
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_out_in_order_whatever_the_order_in() {
        let mut reorder = Reorder::new();
        let mut out = Vec::new();
        for index in [2, 0, 1, 4, 3] {
            reorder.insert(FrameIndex(index), index);
            while let Some(item) = reorder.pop() {
                out.push(item);
            }
        }
        assert_eq!(out, [0, 1, 2, 3, 4]);
    }
}
