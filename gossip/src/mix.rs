//! Words mixed until they are as good as random: splitmix64 (Steele, Lea, Flood, *Fast splittable pseudorandom number
//! generators*, 2014). Every replica of every version mixes the same: trees, turns and fingerprints depend on it.

/// By how much the state of a sequence grows: 2^64 over the golden ratio, made odd.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// One word for another, each for one only.
pub(crate) fn mix(word: u64) -> u64 {
    finish(word.wrapping_add(STEP))
}

/// Folds `word` into `state`.
pub(crate) fn fold(state: u64, word: u64) -> u64 {
    finish(state.rotate_left(25) ^ word.wrapping_add(STEP))
}

/// The next number of a sequence, which `state` is the seed of at first.
pub(crate) fn next(state: &mut u64) -> u64 {
    let number = mix(*state);
    *state = state.wrapping_add(STEP);
    number
}

fn finish(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_the_one_that_others_compute() {
        // The first numbers of the reference implementation from these seeds.
        let mut state = 1_234_567;
        let first = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(first.map(|_| next(&mut state)), first);
        assert_eq!(next(&mut 0), 0xE220_A839_7B1D_CDAF);
    }
}
