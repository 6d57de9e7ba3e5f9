//! Lists: commands as clients give them, what they come to, and whether the orders that are shown go together.
//!
//! An element is known by the value it was put in with, and no value is written twice; so what is shown says who wrote it,
//! and the oracle knows nothing of positions. It demands what is called the strong list specification: there is one order
//! of all elements ever shown anywhere, also of those that are gone, which every list that is shown keeps to. Besides,
//! elements of one command have others between them only if those were put there by somebody who had seen them.
//!
//! Source: Attiya et al., *Specification and Complexity of Collaborative Text Editing* (PODC 2016).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cahoots_gossip::store::ListEnd;

use super::action::{Name, brief};

/// A command on a list. Indexes are taken modulo its length.
#[derive(Clone, PartialEq, Eq)]
pub enum ListCommand {
    /// LPUSH, RPUSH.
    Push(ListEnd, Vec<Name>),
    /// LINSERT before or after an element.
    Insert(usize, ListEnd, Name),
    /// LSET.
    Set(usize, Name),
    /// LPOP, RPOP of so many.
    Take(ListEnd, usize),
    /// LTRIM to so many, from an index on.
    Trim(usize, usize),
    /// LREM of the value at an index.
    Remove(usize),
    /// LMOVE within the list; the element that is moved is then set, so that it has a value of its own.
    Rotate(ListEnd, ListEnd, Name),
}

/// What became of an element.
#[derive(Clone, PartialEq, Eq)]
pub enum ListEdit {
    /// It was put in.
    Put(Name),
    /// Of the element that had the first value, the value was replaced by the second.
    Write(Name, Name),
    /// The element that had this value was removed.
    Remove(Name),
}

impl ListCommand {
    /// What the command makes of this list, as Redis has it, and of its elements; an empty list is none.
    #[must_use]
    pub fn apply(&self, mut list: Vec<Name>) -> (Vec<Name>, Vec<ListEdit>) {
        let len = list.len();
        let mut edits = Vec::new();
        match self {
            Self::Push(end, values) => {
                for value in values {
                    list.insert(if *end == ListEnd::Left { 0 } else { list.len() }, value.clone());
                    edits.push(ListEdit::Put(value.clone()));
                }
            }
            _ if len == 0 => {}
            Self::Insert(at, side, value) => {
                list.insert(at % len + usize::from(*side == ListEnd::Right), value.clone());
                edits.push(ListEdit::Put(value.clone()));
            }
            Self::Set(at, value) => {
                let old = std::mem::replace(&mut list[at % len], value.clone());
                edits.push(ListEdit::Write(old, value.clone()));
            }
            Self::Take(end, count) => {
                let ranks = if *end == ListEnd::Left { 0..len.min(*count) } else { len - len.min(*count)..len };
                edits.extend(list.drain(ranks).map(ListEdit::Remove));
            }
            Self::Trim(from, count) => {
                let kept = from % len..(from % len + count).min(len);
                let mut rest = list.split_off(kept.start);
                let behind = rest.split_off(kept.len());
                edits.extend(list.into_iter().chain(behind).map(ListEdit::Remove));
                list = rest;
            }
            Self::Remove(at) => edits.push(ListEdit::Remove(list.remove(at % len))),
            Self::Rotate(out, into, fresh) => {
                let old = if *out == ListEnd::Left { list.remove(0) } else { list.remove(len - 1) };
                list.insert(if *into == ListEnd::Left { 0 } else { len - 1 }, fresh.clone());
                // Put before it was removed: the list has not been empty meanwhile.
                edits.extend([ListEdit::Put(fresh.clone()), ListEdit::Remove(old)]);
            }
        }
        (list, edits)
    }

    /// The values that it writes.
    pub(super) fn values(&self) -> &[Name] {
        match self {
            Self::Push(_, values) => values,
            Self::Insert(_, _, value) | Self::Set(_, value) | Self::Rotate(_, _, value) => std::slice::from_ref(value),
            Self::Take(..) | Self::Trim(..) | Self::Remove(_) => &[],
        }
    }
}

/// The elements of one list, by the values they were put in with.
#[derive(Default)]
pub(super) struct Elements {
    /// The element that has, or had, a value.
    of_value: BTreeMap<Name, Name>,
    /// Which were shown directly behind each.
    behind: BTreeMap<Name, BTreeSet<Name>>,
}

impl Elements {
    /// An edit told of elements instead of their values.
    ///
    /// # Panics
    /// If a value was written before, or an element is unknown.
    pub(super) fn note(&mut self, edit: &ListEdit) -> ListEdit {
        let known = |of_value: &BTreeMap<Name, Name>, value: &Name| of_value[value].clone();
        let edit = match edit {
            ListEdit::Put(value) => ListEdit::Put(value.clone()),
            ListEdit::Write(old, value) => ListEdit::Write(known(&self.of_value, old), value.clone()),
            ListEdit::Remove(old) => return ListEdit::Remove(known(&self.of_value, old)),
        };
        if let ListEdit::Put(value) | ListEdit::Write(_, value) = &edit {
            let element = if let ListEdit::Write(element, _) = &edit { element } else { value };
            let before = self.of_value.insert(value.clone(), element.clone());
            assert!(before.is_none(), "{} was written before", brief(value));
        }
        edit
    }

    /// The elements that have these values.
    ///
    /// # Panics
    /// If nobody wrote one.
    pub(super) fn of(&self, values: &[Name]) -> Vec<Name> {
        values.iter().map(|value| self.of_value[value].clone()).collect()
    }

    /// Takes in that elements are shown in this order; says if another was shown before that contradicts it.
    pub(super) fn see(&mut self, order: &[Name]) -> Result<(), String> {
        for pair in order.windows(2) {
            let behind = self.behind.entry(pair[0].clone()).or_default();
            if behind.insert(pair[1].clone()) && self.is_behind(&pair[1], &pair[0]) {
                return Err(format!("{} is before {}, and was shown behind it", brief(&pair[0]), brief(&pair[1])));
            }
        }
        Ok(())
    }

    /// Whether some list, or several together, showed `element` behind `first`.
    fn is_behind(&self, first: &Name, element: &Name) -> bool {
        let (mut reached, mut next) = (BTreeSet::from([first]), vec![first]);
        while let Some(at) = next.pop() {
            if at == element {
                return true;
            }
            next.extend(self.behind.get(at).into_iter().flatten().filter(|it| reached.insert(it)));
        }
        false
    }
}

fn words(values: &[Name]) -> String {
    values.iter().map(|value| brief(value)).collect::<Vec<_>>().join(" ")
}

impl fmt::Debug for ListCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Push(end, values) => write!(f, "push {end:?} {}", words(values)),
            Self::Insert(at, side, value) => write!(f, "LINSERT {side:?} of [{at}] {}", brief(value)),
            Self::Set(at, value) => write!(f, "LSET {at} {}", brief(value)),
            Self::Take(end, count) => write!(f, "pop {end:?} {count}"),
            Self::Trim(from, count) => write!(f, "LTRIM to {count} from {from}"),
            Self::Remove(at) => write!(f, "LREM of [{at}]"),
            Self::Rotate(out, into, value) => write!(f, "LMOVE {out:?} {into:?}, set {}", brief(value)),
        }
    }
}

impl fmt::Debug for ListEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(value) => write!(f, "puts {}", brief(value)),
            Self::Write(old, value) => write!(f, "writes {} in {}", brief(value), brief(old)),
            Self::Remove(old) => write!(f, "removes {}", brief(old)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(values: &str) -> Vec<Name> {
        values.split_whitespace().map(|value| value.as_bytes().to_vec()).collect()
    }

    #[test]
    fn orders_that_no_order_of_all_keeps_to_are_found_out() {
        let mut elements = Elements::default();
        for order in ["a b c", "a x c", "b d", "x d e"] {
            assert_eq!(elements.see(&list(order)), Ok(()), "{order}");
        }
        // Through what others have shown: b before c, c before y, so not y before b.
        assert_eq!(elements.see(&list("c y")), Ok(()));
        assert!(elements.see(&list("y b")).is_err());
        let mut elements = Elements::default();
        assert_eq!(elements.see(&list("a b")), Ok(()));
        assert!(elements.see(&list("b a")).is_err());
    }

    #[test]
    fn commands_come_to_what_redis_makes_of_them() {
        let x = || b"x".to_vec();
        for (command, after) in [
            (ListCommand::Push(ListEnd::Left, list("x y")), "y x a b c"),
            (ListCommand::Push(ListEnd::Right, list("x y")), "a b c x y"),
            (ListCommand::Insert(4, ListEnd::Left, x()), "a x b c"),
            (ListCommand::Insert(2, ListEnd::Right, x()), "a b c x"),
            (ListCommand::Set(5, x()), "a b x"),
            (ListCommand::Take(ListEnd::Left, 2), "c"),
            (ListCommand::Take(ListEnd::Right, 2), "a"),
            (ListCommand::Take(ListEnd::Right, 9), ""),
            (ListCommand::Trim(1, 1), "b"),
            (ListCommand::Trim(0, 9), "a b c"),
            (ListCommand::Trim(0, 0), ""),
            (ListCommand::Remove(1), "a c"),
            (ListCommand::Rotate(ListEnd::Left, ListEnd::Right, x()), "b c x"),
            (ListCommand::Rotate(ListEnd::Right, ListEnd::Left, x()), "x a b"),
        ] {
            assert_eq!(command.apply(list("a b c")).0, list(after), "{command:?}");
        }
    }
}
