//! SORT and SORT_RO: the elements of a list, a set or a sorted set, in an order of their own or of what other keys hold.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use super::{Args, Context, Flow, Outcome, Reply};
use crate::command::error::CommandError;
use crate::command::number;
use crate::command::options::{int_arg, is};
use cahoots_gossip::store::{Class, Value, View};

/// An element, or what is held elsewhere for it.
type Bytes<'a> = Cow<'a, [u8]>;

struct Query<'a> {
    descending: bool,
    by_bytes: bool,
    /// Only from so many on, and so many of them; negative: all.
    limit: (i64, i64),
    by: Option<&'a [u8]>,
    get: Vec<&'a [u8]>,
    store: Option<&'a [u8]>,
}

impl<'a> Query<'a> {
    fn parse(options: Args<'a>, stores: bool) -> Result<Self, CommandError> {
        let mut query =
            Self { descending: false, by_bytes: false, limit: (0, -1), by: None, get: Vec::new(), store: None };
        let mut at = 0;
        while let Some(option) = options.get(at) {
            let left = options.len() - at - 1;
            at += 1;
            if is(option, "asc") {
                query.descending = false;
            } else if is(option, "desc") {
                query.descending = true;
            } else if is(option, "alpha") {
                query.by_bytes = true;
            } else if is(option, "limit") && left >= 2 {
                query.limit = (int_arg(options.at(at))?, int_arg(options.at(at + 1))?);
                at += 2;
            } else if stores && is(option, "store") && left >= 1 {
                query.store = Some(options.at(at));
                at += 1;
            } else if is(option, "by") && left >= 1 {
                query.by = Some(options.at(at));
                at += 1;
            } else if is(option, "get") && left >= 1 {
                query.get.push(options.at(at));
                at += 1;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(query)
    }

    /// Which elements are answered, of `len`.
    fn range(&self, len: usize) -> Range<usize> {
        let start = usize::try_from(self.limit.0).unwrap_or(0).min(len);
        let count = usize::try_from(self.limit.1).unwrap_or(len).min(len - start);
        start..start + count
    }
}

pub(super) fn sort(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    run(ctx, args, true, reply)
}

pub(super) fn sort_ro(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    run(ctx, args, false, reply)
}

fn run(ctx: &mut Context<'_>, args: Args<'_>, stores: bool, reply: &mut Reply<'_>) -> Outcome {
    let mut query = Query::parse(args.from(2), stores)?;
    check_patterns(ctx, args, &query)?;
    let view = ctx.read_any(&args[1]);
    if view.as_ref().is_some_and(|view| !matches!(view.class(), Class::List | Class::Set | Class::Sorted)) {
        return Err(CommandError::WrongType);
    }
    // A pattern that names one key for all leaves the elements as they are; a set has no order, and is stored in one.
    let mut sorts = query.by.is_none_or(|by| memchr::memchr(b'*', by).is_some());
    if !sorts && query.store.is_some() && view.as_ref().is_some_and(|view| view.class() == Class::Set) {
        (sorts, query.by_bytes, query.by) = (true, true, None);
    }
    let elements = match &view {
        None => Vec::new(),
        Some(view) if sorts => sorted(ctx, elements_of(view, 0..usize::MAX, false), &query)?,
        Some(view) => elements_of(view, query.range(view.len()), query.descending),
    };
    let Some(to) = query.store else {
        answer(ctx, &elements, &query.get, reply);
        return Ok(Flow::Continue);
    };
    let mut found: Vec<Box<[u8]>> = Vec::with_capacity(elements.len() * query.get.len().max(1));
    for element in &elements {
        if query.get.is_empty() {
            found.push(element.as_ref().into());
        }
        found.extend(query.get.iter().map(|pattern| Box::from(&*held(ctx, pattern, element).unwrap_or_default())));
    }
    let count = found.len();
    if count > 0 || ctx.current_any(to).is_some() {
        let value = Value::List(found);
        ctx.write(to.len() + value.bytes(), |writer| writer.replace(to, &value, None))?;
    }
    reply.count(count);
    Ok(Flow::Continue)
}

/// What is looked up elsewhere may be any key: only who may read all of them may have that done.
fn check_patterns(ctx: &mut Context<'_>, args: Args<'_>, query: &Query<'_>) -> Result<(), CommandError> {
    let is_elsewhere = |pattern: &&[u8]| memchr::memchr(b'*', pattern).is_some();
    let (by, get) = (query.by.is_some_and(|by| is_elsewhere(&by)), query.get.iter().any(|get| *get != b"#"));
    if !(by || get) || ctx.may_read_all(args) {
        return Ok(());
    }
    let option = if by { "BY" } else { "GET" };
    Err(CommandError::Other(format!("ERR {option} option of SORT denied due to insufficient ACL permissions").into()))
}

fn answer(ctx: &Context<'_>, elements: &[Bytes<'_>], get: &[&[u8]], reply: &mut Reply<'_>) {
    reply.array(elements.len() * get.len().max(1));
    for element in elements {
        if get.is_empty() {
            reply.bulk(element);
        }
        for pattern in get {
            reply.maybe_bulk(held(ctx, pattern, element).as_deref());
        }
    }
}

/// The elements in their own order, those of these ranks; the other way round if `backwards`.
fn elements_of<'a>(view: &View<'a>, ranks: Range<usize>, backwards: bool) -> Vec<Bytes<'a>> {
    let end = ranks.end.min(view.len());
    let ranks = ranks.start.min(end)..end;
    let from_the_end = view.len() - ranks.end..view.len() - ranks.start;
    match view.class() {
        Class::List if backwards => {
            view.ordered().range(from_the_end).rev().map(|(_, value)| Cow::Borrowed(value)).collect()
        }
        Class::List => view.ordered().range(ranks).map(|(_, value)| Cow::Borrowed(value)).collect(),
        Class::Sorted if backwards => view.sorted().walk(from_the_end, true).map(|(it, _)| Cow::Borrowed(it)).collect(),
        Class::Sorted => view.sorted().walk(ranks, false).map(|(it, _)| Cow::Borrowed(it)).collect(),
        _ => view.iter().skip(ranks.start).take(ranks.len()).map(|(member, _)| Cow::Borrowed(member)).collect(),
    }
}

/// What an element is sorted by.
enum Weight<'a> {
    Number(f64),
    /// `None` if nothing is held for it, which comes first.
    Bytes(Option<Bytes<'a>>),
}

/// Those of the elements that are wanted, in the order that is.
fn sorted<'a>(
    ctx: &'a Context<'_>,
    elements: Vec<Bytes<'a>>,
    query: &Query<'_>,
) -> Result<Vec<Bytes<'a>>, CommandError> {
    let mut weighed = Vec::with_capacity(elements.len());
    for element in elements {
        let by = match query.by {
            Some(pattern) => held(ctx, pattern, &element),
            None => Some(element.clone()),
        };
        let weight = if query.by_bytes { Weight::Bytes(by) } else { Weight::Number(weight_of(by.as_deref())?) };
        weighed.push((weight, element));
    }
    weighed.sort_by(|(a, left), (b, right)| {
        let order = match (a, b) {
            (Weight::Number(a), Weight::Number(b)) => {
                a.partial_cmp(b).unwrap_or(Ordering::Equal).then_with(|| left.cmp(right))
            }
            (Weight::Bytes(a), Weight::Bytes(b)) => a.cmp(b),
            _ => Ordering::Equal,
        };
        if query.descending { order.reverse() } else { order }
    });
    let range = query.range(weighed.len());
    Ok(weighed.drain(range).map(|(_, element)| element).collect())
}

/// A number as C reads it, white space in front included; nothing is 0.
fn weight_of(text: Option<&[u8]>) -> Result<f64, CommandError> {
    let text = text.unwrap_or_default();
    let blank = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    if text.is_empty() {
        return Ok(0.0);
    }
    let number = number::read(&text[blank..]).filter(|it| !it.is_out_of_range && !it.value.is_subnormal());
    number.map(|it| it.value).ok_or(CommandError::text("ERR One or more scores can't be converted into double"))
}

/// What the key, or the field of a hash behind `->`, holds that a pattern names for an element; `#` is the element itself.
fn held<'a>(ctx: &'a Context<'_>, pattern: &[u8], element: &Bytes<'a>) -> Option<Bytes<'a>> {
    if pattern == b"#" {
        return Some(element.clone());
    }
    let star = memchr::memchr(b'*', pattern)?;
    let rest = &pattern[star + 1..];
    let arrow = memchr::memmem::find(rest, b"->").filter(|at| at + 2 < rest.len());
    let (behind, field) = match arrow {
        Some(at) => (&rest[..at], Some(&rest[at + 2..])),
        None => (rest, None),
    };
    let key = [&pattern[..star], element, behind].concat();
    let key = ctx.stored(&key);
    let found = match field {
        Some(field) => ctx.read_if(&key, Class::Hash).and_then(|view| view.get(field).map(Cow::into_owned)),
        None => ctx.read_if(&key, Class::Text).and_then(|view| view.text().map(Cow::into_owned)),
    };
    found.map(Cow::Owned)
}
