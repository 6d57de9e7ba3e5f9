//! What lies under one key: a text element, and tables of named elements per collection type.

use hashbrown::HashTable;
use smallvec::SmallVec;

use cahoots_crdt::ReplicaId;

use super::cell::{Class, Element, Path, hash_of};
use crate::Hlc;

/// Named elements: the members of a set, the fields of a hash; ballots are one element without a name. Holds none that
/// is empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    elements: HashTable<(Box<[u8]>, Element)>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.elements.len()
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Element> {
        self.elements.find(hash_of(name), |(it, _)| **it == *name).map(|(_, element)| element)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Element)> {
        self.elements.iter().map(|(name, element)| (&**name, element))
    }

    fn get_mut_or_insert(&mut self, name: &[u8]) -> &mut Element {
        let hash = hash_of(name);
        let entry = self.elements.entry(hash, |(it, _)| **it == *name, |(it, _)| hash_of(it));
        &mut entry.or_insert_with(|| (name.into(), Element::default())).into_mut().1
    }
}

/// All live cells of one key. A key whose entry is empty does not exist and has no entry.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub(super) text: Element,
    /// At most one table per class, none that is empty.
    tables: SmallVec<[(Class, Box<Table>); 1]>,
}

impl Entry {
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.tables.is_empty()
    }

    pub(super) fn table(&self, class: Class) -> Option<&Table> {
        self.tables.iter().find(|(it, _)| *it == class).map(|(_, table)| &**table)
    }

    pub(super) fn element(&self, class: Class, name: &[u8]) -> Option<&Element> {
        match class {
            Class::Text => Some(&self.text).filter(|text| !text.is_empty()),
            _ => self.table(class)?.get(name),
        }
    }

    /// The element at (class, name), made if absent. The caller leaves a cell in it or calls
    /// [`Entry::drop_if_empty`].
    pub(super) fn element_mut(&mut self, class: Class, name: &[u8]) -> &mut Element {
        if class == Class::Text {
            return &mut self.text;
        }
        let at = self.tables.iter().position(|(it, _)| *it == class).unwrap_or_else(|| {
            self.tables.push((class, Box::default()));
            self.tables.len() - 1
        });
        self.tables[at].1.get_mut_or_insert(name)
    }

    pub(super) fn drop_if_empty(&mut self, class: Class, name: &[u8]) {
        let Some(at) = self.tables.iter().position(|(it, _)| *it == class) else { return };
        let elements = &mut self.tables[at].1.elements;
        if let Ok(found) = elements.find_entry(hash_of(name), |(it, _)| **it == *name)
            && found.get().1.is_empty()
        {
            found.remove();
        }
        if elements.is_empty() {
            self.tables.remove(at);
        }
    }

    /// The elements of every class, with their paths.
    pub(super) fn elements<'a>(
        &'a self,
        key: &'a [u8],
        key_hash: u64,
    ) -> impl Iterator<Item = (Path<'a>, &'a Element)> {
        let text = Some((Path::within(key_hash, key, Class::Text, b""), &self.text)).filter(|(_, it)| !it.is_empty());
        text.into_iter().chain(self.tables.iter().flat_map(move |(class, table)| {
            table.iter().map(move |(name, element)| (Path::within(key_hash, key, *class, name), element))
        }))
    }

    /// Lets `change` alter the elements of every class and drops those it leaves empty.
    pub(super) fn alter(&mut self, key: &[u8], key_hash: u64, mut change: impl FnMut(&Path<'_>, &mut Element)) {
        change(&Path::within(key_hash, key, Class::Text, b""), &mut self.text);
        for (class, table) in &mut self.tables {
            table.elements.retain(|(name, element)| {
                change(&Path::within(key_hash, key, *class, name), element);
                !element.is_empty()
            });
        }
        self.tables.retain(|(_, table)| table.len() > 0);
    }

    /// The type this key shows: that of the highest clock among its live cells.
    pub(super) fn class(&self) -> Option<Class> {
        match (&*self.tables, self.text.is_empty()) {
            ([], true) => None,
            ([], false) => Some(Class::Text),
            ([(class, _)], true) => Some(*class),
            (tables, _) => {
                let newest = |(class, table): &(Class, Box<Table>)| {
                    let newest: Option<(Hlc, ReplicaId)> = table.iter().filter_map(|(_, it)| it.newest()).max();
                    (newest, *class)
                };
                let text = (self.text.newest(), Class::Text);
                tables.iter().map(newest).chain([text]).max().map(|(_, class)| class)
            }
        }
    }

    /// Whether there are ballots, of whatever class.
    pub(super) fn holds_ballots(&self) -> bool {
        self.tables.iter().any(|(class, _)| class.holds_ballots())
    }

    /// The elements that hold ballots, by class.
    pub(super) fn ballots(&self) -> impl Iterator<Item = (Class, &Element)> {
        let tables = self.tables.iter().filter(|(class, _)| class.holds_ballots());
        tables.filter_map(|(class, table)| Some((*class, table.get(b"")?)))
    }

    /// Whether there is nothing beside the text, which may be empty.
    pub(super) fn has_text_only(&self) -> bool {
        self.tables.is_empty()
    }

    /// Whether cells of more than one type are live: replicas created the key with different types while apart.
    pub(super) fn clashes(&self) -> bool {
        self.tables.len() + usize::from(!self.text.is_empty()) > 1
    }
}
