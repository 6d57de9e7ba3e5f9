//! Maps.

use std::time::Duration;

use super::key::{deadline_in, left};
use super::{Access, AccessError, Node, typed};
use crate::store::Class;

/// A field and its value.
type Entry = (Vec<u8>, Vec<u8>);

/// Fields with values, each replaced or counted on its own. A field written while it is removed elsewhere stays.
///
/// ```
/// # use std::time::Duration;
/// # use cahoots_gossip::driver::{Node, NodeConfig};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node = Node::start(NodeConfig::new("alpha", "127.0.0.1:0".parse()?)).await?;
/// let user = node.map("user:7");
/// user.set("name", "Ada")?;
/// assert_eq!(user.add("visits", 2)?, 2);
/// assert_eq!(user.get("visits")?.as_deref(), Some(&b"2"[..]));
/// assert!(user.remove("name")?);
/// assert_eq!(user.len()?, 1);
/// user.set_for("token", "secret", Duration::from_secs(60))?;
/// assert!(user.time_to_live("token")?.is_some_and(|left| left > Duration::from_secs(59)));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Map<A = Node> {
    access: A,
    key: Box<[u8]>,
}

impl<A: Access> Map<A> {
    pub(super) fn new(access: A, key: &[u8]) -> Self {
        Self { access, key: key.into() }
    }

    /// Replaces the value of a field; says whether the field was absent.
    ///
    /// # Errors
    /// The key holds another type, a limit is exceeded, or the clock is too far ahead.
    pub fn set(&self, field: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<bool, AccessError> {
        let (field, value) = (field.as_ref(), value.as_ref());
        self.access.write(self.key.len() + field.len() + value.len(), |writer| {
            writer.insert(&self.key, Class::Hash, field, value).map_err(|error| AccessError::of(Class::Hash, error))
        })
    }

    /// As [`Map::set`], and the field ends in so much time: every node hides it from then on, and one of them removes it.
    ///
    /// # Errors
    /// As [`Map::set`].
    pub fn set_for(
        &self,
        field: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        time: Duration,
    ) -> Result<bool, AccessError> {
        let (field, value) = (field.as_ref(), value.as_ref());
        self.access.write(self.key.len() + field.len() + value.len(), |writer| {
            let deadline = deadline_in(writer.moment().now(), time);
            let added = writer.insert(&self.key, Class::Hash, field, value);
            let added = added.map_err(|error| AccessError::of(Class::Hash, error))?;
            writer.expire_field(&self.key, field, Some(deadline))?;
            Ok(added)
        })
    }

    /// Has a field end in so much time, also what is added to it until then; one that is set again begins anew. Says whether
    /// there is such a field.
    ///
    /// # Errors
    /// The key holds another type, or the clock is too far ahead.
    pub fn expire_in(&self, field: impl AsRef<[u8]>, time: Duration) -> Result<bool, AccessError> {
        self.expire(field.as_ref(), |now| Some(deadline_in(now, time)))
    }

    /// Has a field not end by itself. Says whether it would have.
    ///
    /// # Errors
    /// The key holds another type, or the clock is too far ahead.
    pub fn persist(&self, field: impl AsRef<[u8]>) -> Result<bool, AccessError> {
        self.expire(field.as_ref(), |_| None)
    }

    fn expire(&self, field: &[u8], deadline: impl FnOnce(u64) -> Option<u64>) -> Result<bool, AccessError> {
        self.access.write(self.key.len() + field.len(), |writer| {
            typed(writer.moment(), &self.key, Class::Hash)?;
            let deadline = deadline(writer.moment().now());
            Ok(writer.expire_field(&self.key, field, deadline)?)
        })
    }

    /// In what time a field ends by itself; `None` if it does not, or is not there.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn time_to_live(&self, field: impl AsRef<[u8]>) -> Result<Option<Duration>, AccessError> {
        self.access.read(|moment| {
            let deadline = typed(moment, &self.key, Class::Hash)?.and_then(|view| view.field_deadline(field.as_ref()));
            Ok(deadline.map(|deadline| left(moment.now(), deadline)))
        })
    }

    /// Adds to the number in a field, 0 if there is none; the sum as this node knows it.
    ///
    /// # Errors
    /// The key holds another type or the field no number, the sum would leave 64 bits, a limit is exceeded, or the clock
    /// is too far ahead.
    pub fn add(&self, field: impl AsRef<[u8]>, delta: i64) -> Result<i64, AccessError> {
        let field = field.as_ref();
        self.access.write(self.key.len() + field.len(), |writer| {
            writer.add_field(&self.key, field, delta).map_err(|error| AccessError::of(Class::Hash, error))
        })
    }

    /// Removes a field; says whether there was one.
    ///
    /// # Errors
    /// The key holds another type, or the clock is too far ahead.
    pub fn remove(&self, field: impl AsRef<[u8]>) -> Result<bool, AccessError> {
        let field = field.as_ref();
        self.access.write(self.key.len() + field.len(), |writer| {
            typed(writer.moment(), &self.key, Class::Hash)?;
            Ok(writer.remove(&self.key, Class::Hash, field)?)
        })
    }

    /// The value of a field; `None` if there is none.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn get(&self, field: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, AccessError> {
        self.access.read(|moment| {
            let view = typed(moment, &self.key, Class::Hash)?;
            Ok(view.and_then(|view| Some(view.get(field.as_ref())?.into_owned())))
        })
    }

    /// Whether it has this field.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn contains(&self, field: impl AsRef<[u8]>) -> Result<bool, AccessError> {
        self.access
            .read(|moment| Ok(typed(moment, &self.key, Class::Hash)?.is_some_and(|view| view.contains(field.as_ref()))))
    }

    /// How many fields there are.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn len(&self) -> Result<usize, AccessError> {
        self.access.read(|moment| Ok(typed(moment, &self.key, Class::Hash)?.map_or(0, |view| view.len())))
    }

    /// Whether there is none.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn is_empty(&self) -> Result<bool, AccessError> {
        Ok(self.len()? == 0)
    }

    /// Fields and values at this moment, in no order. O(fields), during which this node does nothing else.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn entries(&self) -> Result<Vec<Entry>, AccessError> {
        self.access.read(|moment| {
            let view = typed(moment, &self.key, Class::Hash)?;
            let entries = view.iter().flat_map(|view| view.iter());
            Ok(entries.map(|(field, value)| (field.to_vec(), value.into_owned())).collect())
        })
    }
}
