//! What has expired under a key at a moment: by a deadline of the key, or by those of fields.

use smallvec::SmallVec;

use super::lifetime::{Lifetime, Ruling};
use super::{Element, Stamp};
use crate::store::kind::Class;
use crate::store::memory::entry::{Entry, newest_class};
use crate::store::memory::name::Name;

/// The cells under a key of which some may be hidden.
pub(in crate::store) struct Lapse<'a> {
    entry: Entry<'a>,
    now: u64,
    key: Lifetime,
    /// Whether a deadline of the key has passed.
    of_key: bool,
    /// Whether a deadline of a field has.
    of_fields: bool,
}

impl<'a> Lapse<'a> {
    /// `None` if no deadline has passed. O(1).
    pub(in crate::store) fn of(entry: Entry<'a>, now: u64) -> Option<Self> {
        if !entry.has_attributes() {
            return None;
        }
        let lapse = Self::whole(entry, now);
        (lapse.of_key || lapse.of_fields).then_some(lapse)
    }

    fn whole(entry: Entry<'a>, now: u64) -> Self {
        let key = Lifetime::of(entry, now);
        let of_fields = entry.field_deadline_from(0).is_some_and(|first| first <= now);
        Self { entry, now, of_key: key.has_passed(now), key, of_fields }
    }

    /// Whether any cell may be hidden, not only some under fields whose deadlines have passed.
    pub(in crate::store) fn is_of_key(&self) -> bool {
        self.of_key
    }

    /// Takes the cells that are hidden away from the element of this class and name.
    pub(in crate::store) fn hide(&self, class: Class, name: &[u8], element: &mut Element<'_>) {
        if self.of_key {
            self.key.hide(element, self.now);
        }
        if self.of_fields && class == Class::Hash {
            Lifetime::of_field(self.entry, name, &self.key, self.now).hide(element, self.now);
        }
    }

    /// The type that the key shows, if it shows one. O(log n), unless there may be no field but such whose deadlines have
    /// passed; O(all cells) if a deadline of the key has passed, or the key holds several types.
    pub(in crate::store) fn class(&self) -> Option<Class> {
        if self.of_key || self.entry.clashes() {
            return newest_class(self.data());
        }
        let class = self.entry.class()?;
        let is_shown = self.entry.len(class) > self.entry.due_fields_max(self.now) || self.data().next().is_some();
        is_shown.then_some(class)
    }

    /// How many elements of this class are visible. O(fields whose deadlines have passed), or as [`Lapse::class`].
    pub(in crate::store) fn len(&self, class: Class) -> usize {
        if self.of_key {
            return self.data().filter(|(it, ..)| *it == class).count();
        }
        let gone = if class == Class::Hash { self.fields_gone() } else { 0 };
        self.entry.len(class) - gone
    }

    /// What is visible, element by element.
    fn data(&self) -> impl Iterator<Item = (Class, Name<'a>, Element<'a>)> {
        self.entry.data().filter_map(|(class, name, mut element)| {
            self.hide(class, &name, &mut element);
            (!element.is_empty()).then_some((class, name, element))
        })
    }

    /// Fields of which a deadline has passed, each once, with all that is under them: `max` at most, and no less than half
    /// of that if there are so many.
    pub(in crate::store) fn due_fields(&self, max: usize) -> impl Iterator<Item = (&'a [u8], Element<'a>)> {
        let mut names: Vec<&[u8]> = self.entry.due_fields(self.now).take(max).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(|name| (name, self.entry.element(Class::Hash, name)))
    }

    /// How many fields are there no more, if no other deadline than those of fields has passed.
    fn fields_gone(&self) -> usize {
        let is_gone = |(name, mut element): (&[u8], Element<'_>)| {
            let was_there = !element.is_empty();
            self.hide(Class::Hash, name, &mut element);
            was_there && element.is_empty()
        };
        self.due_fields(usize::MAX).filter(|it| is_gone(it.clone())).count()
    }
}

/// The deadline in force at a key that is visible.
pub(in crate::store) fn in_force(entry: Entry<'_>, now: u64) -> Option<Ruling> {
    if !entry.has_attributes() {
        return None;
    }
    let lapse = Lapse::whole(entry, now);
    let stamps = |(.., element): (_, _, Element<'_>)| element.stamps().collect::<SmallVec<[Stamp; 2]>>();
    lapse.key.in_force(lapse.data().flat_map(stamps), now)
}

/// The deadline in force at a field that is visible.
pub(in crate::store) fn in_force_at_field(entry: Entry<'_>, name: &[u8], now: u64) -> Option<Ruling> {
    if !entry.has_attributes() {
        return None;
    }
    let lapse = Lapse::whole(entry, now);
    let field = Lifetime::of_field(entry, name, &lapse.key, now);
    let mut element = entry.element(Class::Hash, name);
    lapse.hide(Class::Hash, name, &mut element);
    field.in_force(element.stamps(), now)
}
