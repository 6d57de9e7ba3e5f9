//! DIGEST and DIGEST-VALUE: sums of data that do not depend on the order of what has none, as Redis computes them.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest as sha1};

use super::{Args, Context, Flow, Outcome, Reply};
use crate::command::context::WALK_KEYS;
use crate::resp::digits_of;
use cahoots_gossip::store::{Value, View};

#[derive(Clone, Copy, Default)]
struct Sum([u8; 20]);

impl Sum {
    /// Adds what has no order.
    fn add(&mut self, bytes: &[u8]) {
        let hash = sha1(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
        self.0.iter_mut().zip(hash.as_ref()).for_each(|(byte, of_hash)| *byte ^= of_hash);
    }

    /// Adds what comes behind all that was added before.
    fn mix(&mut self, bytes: &[u8]) {
        self.add(bytes);
        let hash = sha1(&SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        self.0.copy_from_slice(hash.as_ref());
    }

    /// Adds what belongs together, and has no place among others.
    fn add_mixed(&mut self, parts: &[&[u8]]) {
        let mut part = Self::default();
        parts.iter().for_each(|bytes| part.mix(bytes));
        self.add(&part.0);
    }

    fn mix_value(&mut self, view: &View<'_>) {
        let Some(value) = view.value() else { return };
        let number: u32 = match &value {
            Value::Text(_) => 0,
            Value::List(_) => 1,
            Value::Set(_) => 2,
            Value::Sorted(_) => 3,
            Value::Hash(_) => 4,
            Value::Stream(..) => 6,
        };
        self.mix(&number.to_be_bytes());
        match &value {
            Value::Text(text) => self.mix(text),
            Value::List(elements) => elements.iter().for_each(|element| self.mix(element)),
            Value::Set(members) => members.iter().for_each(|member| self.add(member)),
            Value::Sorted(members) => {
                members.iter().for_each(|(member, score)| self.add_mixed(&[member, digits_of(*score).as_bytes()]));
            }
            Value::Hash(fields) => fields.iter().for_each(|field| self.add_mixed(&[&field.name, &field.value])),
            Value::Stream(entries, ..) => {
                for entry in entries {
                    self.mix(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
                    entry.fields().for_each(|(name, value)| {
                        self.mix(name);
                        self.mix(value);
                    });
                }
            }
        }
        if view.deadline().is_some() {
            self.add(b"!!expire!!");
        }
    }

    fn told(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

pub(super) fn digest_value(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let keys = args.from(2);
    reply.array(keys.len());
    for key in keys.iter() {
        let mut sum = Sum::default();
        let key = ctx.stored(key);
        ctx.current_any(&key).into_iter().for_each(|view| sum.mix_value(&view));
        reply.simple(&sum.told());
    }
    Ok(Flow::Continue)
}

pub(super) fn digest(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let mut all = Sum::default();
    let (own, databases) = (ctx.session.database, ctx.databases());
    for (database, _) in databases.into_iter().filter(|(_, (keys, _))| *keys > 0) {
        all.mix(&u32::from(database).to_be_bytes());
        ctx.session.database = database;
        let mut cursor = 0;
        loop {
            cursor = ctx.scan(cursor, WALK_KEYS, |key, view| {
                let mut sum = Sum::default();
                sum.mix(key);
                sum.mix_value(&view);
                all.add(&sum.0);
            });
            if cursor == 0 {
                break;
            }
        }
    }
    ctx.session.database = own;
    reply.simple(&all.told());
    Ok(Flow::Continue)
}
