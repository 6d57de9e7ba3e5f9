//! How much may be made of a payload.

use super::RdbError;

/// Bytes of elements that may still be made. Compressed strings, and elements of which a payload holds many in a byte each,
/// become far more than they were; so each is counted before it is made.
pub(super) struct Budget {
    left: usize,
    max: usize,
}

/// What an element takes beside its bytes.
const ELEMENT_BYTES: usize = 16;

impl Budget {
    pub(super) fn new(max: usize) -> Self {
        Self { left: max, max }
    }

    /// Notes an element of so many bytes.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), RdbError> {
        let left = self.left.checked_sub(ELEMENT_BYTES).and_then(|left| left.checked_sub(bytes));
        self.left = left.ok_or(RdbError::TooLarge { max: self.max })?;
        Ok(())
    }
}
