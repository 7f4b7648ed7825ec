//! A set of small numbers, a bit each.

/// The posts of a file that need not be read back.
#[derive(Clone, Debug, Default)]
pub(super) struct Bits(Vec<u64>);

/// A file has fewer posts than this; a damaged number must not ask for gigabytes.
const MAX: u32 = 1 << 20;

impl Bits {
    pub(super) fn insert(&mut self, index: u32) {
        if index >= MAX {
            return;
        }
        let (word, bit) = place(index);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    pub(super) fn contains(&self, index: u32) -> bool {
        let (word, bit) = place(index);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    /// How many of these are not in `other`.
    pub(super) fn count_without(&self, other: &Self) -> u32 {
        let others = other.0.iter().copied().chain(std::iter::repeat(0));
        self.0
            .iter()
            .zip(others)
            .map(|(word, other)| (word & !other).count_ones())
            .sum()
    }
}

fn place(index: u32) -> (usize, u64) {
    let word = usize::try_from(index / 64).unwrap_or(usize::MAX);
    (word, 1 << (index % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_in_and_nothing_else() {
        let mut some = Bits::default();
        for index in [0, 1, 63, 64, 1000, u32::MAX] {
            some.insert(index);
        }
        let held: Vec<u32> = (0..2000).filter(|index| some.contains(*index)).collect();
        assert_eq!(held, [0, 1, 63, 64, 1000]);
        assert!(!some.contains(u32::MAX), "too large to be true");
        let mut others = Bits::default();
        others.insert(63);
        assert_eq!(some.count_without(&others), 4);
        assert_eq!(others.count_without(&some), 0);
    }
}
