//! Names of elements, as they are read.

use std::fmt;
use std::ops::Deref;

use smallvec::SmallVec;

/// The name of an element of a collection: where it lies, or put together from what is new about it beside another.
#[derive(Clone)]
pub struct Name<'a>(Form<'a>);

/// A name that was put together.
pub(in crate::store) type Made = SmallVec<[u8; 24]>;

#[derive(Clone)]
enum Form<'a> {
    Kept(&'a [u8]),
    Made(Made),
}

impl<'a> Name<'a> {
    pub(in crate::store) fn kept(name: &'a [u8]) -> Self {
        Self(Form::Kept(name))
    }

    /// The name where it lies; `None` of one that was put together, which only those in an order are.
    pub(in crate::store) fn as_kept(&self) -> Option<&'a [u8]> {
        if let Form::Kept(name) = self.0 { Some(name) } else { None }
    }
}

impl From<Made> for Name<'_> {
    fn from(name: Made) -> Self {
        Self(Form::Made(name))
    }
}

impl Deref for Name<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Form::Kept(name) => name,
            Form::Made(name) => name,
        }
    }
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.escape_ascii())
    }
}
