//! What clients ask for in a run.

use super::Random;
use crate::client::Request;
use crate::oracle::{Action, EndRule, ListCommand, bucket_of};
use cahoots_gossip::store::ListEnd;

/// Kinds of operations.
const KINDS: usize = 24;

/// A mix of keys and operations, some left out altogether.
pub struct Workload {
    /// Keys by the class their name promises: `t`, `s`, `h`, `b`, `z`, `l`, `e` (entries of a stream), and `x` for keys used as anything.
    keys: Vec<String>,
    names: u64,
    weights: [u64; KINDS],
    /// Bytes of a member of a sorted set or an element of a list: long ones are kept in tables and in an order, however few there are.
    member_bytes: usize,
    /// Of 100 operations on keys, how many are about when they end.
    ending: f64,
    /// In how many milliseconds they end.
    spans: &'static [u64],
    /// Of 100 values, how many are long.
    long: f64,
    longest: u64,
    /// Of 100 groups, how many have several operations.
    grouped: f64,
    /// Of 100 chances, how many FLUSHALLs are taken.
    pub(super) clears: f64,
    values: u64,
}

impl Workload {
    /// A mix of its own.
    #[must_use]
    pub fn draw(random: &mut Random) -> Self {
        let kinds: Vec<char> =
            random.pick(&["t", "s", "h", "b", "z", "e", "l", "l", "tshbzel", "tshbzelx", "x"]).chars().collect();
        let count = *random.pick(&[1, 2, 4, 12, 40]);
        let mut keys: Vec<String> = (0..count).map(|number| format!("{}{number}", random.pick(&kinds))).collect();
        if random.percent(40.0) {
            // Half of them share a bucket: causal order holds across these.
            let bucket = bucket_of(keys[0].as_bytes());
            for key in keys.iter_mut().skip(1).step_by(2) {
                let mut names = (0..).map(|number: u32| format!("{key}-{number}"));
                *key = names.find(|name| bucket_of(name.as_bytes()) == bucket).expect("one in a thousand");
            }
        }
        let mut weights = [0; KINDS];
        for weight in &mut weights {
            *weight = *random.pick(&[0, 1, 3, 3, 10]);
        }
        weights[random.index(KINDS)] += 1;
        Self {
            keys,
            names: *random.pick(&[1, 2, 5]),
            weights,
            ending: 0.0,
            spans: &[],
            member_bytes: *random.pick(&[1, 300]),
            long: *random.pick(&[0.0, 0.0, 1.0, 10.0]),
            longest: *random.pick(&[1_100, 3_000, 20_000, 100_000]),
            grouped: *random.pick(&[0.0, 10.0, 40.0]),
            clears: *random.pick(&[0.0, 0.0, 20.0, 100.0]),
            values: 0,
        }
    }

    /// As [`Workload::draw`], of `count` keys at most, which end in one of so many milliseconds.
    #[must_use]
    pub fn draw_volatile(random: &mut Random, count: usize, spans: &'static [u64]) -> Self {
        let ending = *random.pick(&[10.0, 30.0, 60.0]);
        let drawn = Self::draw(random);
        let mut keys = drawn.keys;
        keys.retain(|key| !key.starts_with(['b', 'x']));
        keys.truncate(count);
        if keys.is_empty() {
            keys.push(random.pick(&["t0", "s0", "h0", "e0", "l0"]).to_string());
        }
        Self { ending, spans, keys, ..drawn }
    }

    /// The next group of operations a client runs.
    pub fn group(&mut self, random: &mut Random) -> Vec<Request> {
        let length = if random.percent(self.grouped) { random.between(2, 5) } else { 1 };
        (0..length).map(|_| self.request(random)).collect()
    }

    fn request(&mut self, random: &mut Random) -> Request {
        let key = random.pick(&self.keys).clone();
        let class = key
            .chars()
            .next()
            .filter(|class| *class != 'x')
            .unwrap_or(*random.pick(&['t', 's', 'h', 'b', 'z', 'e', 'l']));
        let action = match random.percent(self.ending) {
            true => self.ending_action(class, random),
            false => self.action(class, random),
        };
        Request(key.into_bytes(), action)
    }

    fn ending_action(&mut self, class: char, random: &mut Random) -> Action {
        let millis = *random.pick(self.spans);
        let of_field = class == 'h' && random.percent(60.0);
        let rules = [EndRule::None, EndRule::Some, EndRule::Later, EndRule::Earlier];
        match random.below(10) {
            0..5 if of_field => Action::EndFieldIn(self.name(random), millis),
            0..2 => Action::EndIf(*random.pick(&rules), millis),
            2..5 => Action::EndIn(millis),
            5 if class == 't' && random.percent(30.0) => Action::SetKeeping(self.value(random)),
            5 if class == 't' => Action::SetFor(self.value(random), millis.max(1)),
            5 if of_field => Action::PersistField(self.name(random)),
            5 | 6 => Action::Persist,
            _ => Action::RemoveExpired,
        }
    }

    fn action(&mut self, class: char, random: &mut Random) -> Action {
        let name = self.name(random);
        let delta = i64::try_from(random.between(1, 199)).expect("small") - 100;
        let choices: &[usize] = match class {
            't' => &[0, 1, 7],
            's' => &[2, 3, 7],
            'b' => &[8, 8, 9, 7],
            'z' => &[10, 11, 12, 7],
            'e' => &[13, 13, 14, 15, 16, 7],
            'l' => &[17, 18, 19, 20, 21, 22, 23, 7],
            _ => &[4, 5, 6, 7],
        };
        let total: u64 = choices.iter().map(|&choice| self.weights[choice]).sum();
        let mut at = random.below(total);
        let choice = choices.iter().copied().find(|&choice| {
            let chosen = at < self.weights[choice];
            at = at.saturating_sub(self.weights[choice]);
            chosen
        });
        match choice.unwrap_or(choices[0]) {
            0 => Action::Set(self.value(random)),
            1 => Action::Add(delta),
            2 => Action::AddMember(name),
            3 => Action::RemoveMember(name),
            4 => Action::SetField(name, self.value(random)),
            5 => Action::AddField(name, delta),
            6 => Action::RemoveField(name),
            8 => Action::Cast(name),
            9 => Action::Withdraw,
            10 => Action::Score(self.member(name), self.halves(random)),
            11 => Action::AddScore(self.member(name), delta),
            12 => Action::RemoveScored(self.member(name)),
            13 => Action::Append(None, self.value(random)),
            14 => Action::Append(Some(random.below(30)), self.value(random)),
            15 => Action::RemoveEntry(random.index(20)),
            16 => Action::Trim(random.index(5)),
            17..=23 => Action::List(self.list_command(choice.unwrap_or(choices[0]), random)),
            _ => Action::Delete,
        }
    }

    fn list_command(&mut self, choice: usize, random: &mut Random) -> ListCommand {
        let ends = [ListEnd::Left, ListEnd::Right];
        let (one, other) = (*random.pick(&ends), *random.pick(&ends));
        // Places that two meet at; those that change with the list; and any.
        let any = random.index(1_000);
        let at = *random.pick(&[0, 1, usize::MAX / 2, any]);
        match choice {
            18 => ListCommand::Insert(at, one, self.element(random)),
            19 => ListCommand::Set(at, self.element(random)),
            20 => ListCommand::Take(one, *random.pick(&[1, 1, 2, 100])),
            21 => ListCommand::Trim(*random.pick(&[0, 0, 1]), *random.pick(&[0, 3, 8])),
            22 => ListCommand::Remove(at),
            23 => ListCommand::Rotate(one, other, self.element(random)),
            _ => {
                let count = *random.pick(&[1, 1, 2, 4]);
                ListCommand::Push(one, (0..count).map(|_| self.element(random)).collect())
            }
        }
    }

    /// A value that is written once.
    fn element(&mut self, random: &mut Random) -> Vec<u8> {
        let value = self.value(random);
        self.member(value)
    }

    /// Of a member or a field.
    fn name(&self, random: &mut Random) -> Vec<u8> {
        format!("n{}", random.below(self.names)).into_bytes()
    }

    fn member(&self, mut name: Vec<u8>) -> Vec<u8> {
        name.resize(self.member_bytes.max(name.len()), b'.');
        name
    }

    /// Mostly scores that no other assignment has, now and then one that many have.
    fn halves(&mut self, random: &mut Random) -> i64 {
        self.values += 1;
        if random.percent(20.0) { 7 } else { i64::try_from(self.values * 1_000_000).expect("fewer values than that") }
    }

    /// No value is written twice, so that what is shown says who wrote it: numbers far apart, or texts.
    fn value(&mut self, random: &mut Random) -> Vec<u8> {
        self.values += 1;
        if random.percent(self.long) {
            let length = usize::try_from(random.between(1, self.longest)).expect("small");
            let mut value = format!("v{}:", self.values).into_bytes();
            value.extend((0..length).map(|at| b'a' + u8::try_from(at % 26).expect("a letter")));
            return value;
        }
        if random.percent(70.0) {
            (self.values * 1_000_000).to_string().into_bytes()
        } else {
            format!("v{}", self.values).into_bytes()
        }
    }
}
