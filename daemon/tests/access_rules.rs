//! Users as a whole: rules in, rights and words out.

use std::sync::Arc;

use cahoots::acl::{
    Acl, DEFAULT, Denied, PasswordHash, RuleError, SELECTORS_MAX, USER_BYTES_MAX, USERS_MAX, User, parse,
};
use cahoots::command::{Command, commands};
use cahoots::resp::KeptArgs;
use proptest::prelude::*;

/// The command of that full name.
fn command(name: &str) -> &'static Command {
    let mut all = commands().flat_map(|command| std::iter::once(command).chain(command.subcommands));
    all.find(|command| command.name == name).unwrap_or_else(|| panic!("no {name}"))
}

/// A user called `u` with these rules, as they are separated by spaces.
fn user(rules: &str) -> Result<Arc<User>, String> {
    let acl = Acl::default();
    acl.set(b"u", rules.split(' ').map(str::as_bytes))?;
    Ok(acl.get(b"u").expect("it was made"))
}

fn told(rules: &str) -> String {
    let line = user(rules).expect(rules).line();
    String::from_utf8(line).expect("text").strip_prefix("user u ").expect("its name").to_owned()
}

/// Of Redis 7.2, whose words 7.0 does not have.
#[test]
fn users_are_told_as_they_were_asked_for() {
    let start = "off sanitize-payload";
    for (rules, expected) in [
        ("", format!("{start} resetchannels -@all")),
        ("on nopass", "on nopass sanitize-payload resetchannels -@all".to_owned()),
        ("on nopass reset", format!("{start} resetchannels -@all")),
        ("skip-sanitize-payload", "off skip-sanitize-payload resetchannels -@all".to_owned()),
        ("allkeys allchannels allcommands", format!("{start} ~* &* +@all")),
        ("ALLKEYS resetkeys &* resetchannels +@ALL -@all", format!("{start} resetchannels -@all")),
        ("~a %R~b %W~c %rw~d %W~b", format!("{start} ~a ~b %W~c ~d resetchannels -@all")),
        ("%RW~* ~a", format!("{start} %RW~* ~a resetchannels -@all")),
        ("&a &b &a", format!("{start} resetchannels &a &b -@all")),
        ("+GET -get +get +set", format!("{start} resetchannels -@all +get +set")),
        ("+@read -@hash +hget", format!("{start} resetchannels -@all +@read -@hash +hget")),
        ("+config|get +config|SET -config", format!("{start} resetchannels -@all -config")),
        ("-config +config|get", format!("{start} resetchannels -@all -config +config|get")),
        ("+select|0 +Select|1", format!("{start} resetchannels -@all +select|0 +select|1")),
        ("+get +@all -set", format!("{start} resetchannels +@all -set")),
        ("(+get ~a) (~b", "".to_owned()),
        (
            "(+get ~a) ( %R~b &c )",
            format!("{start} resetchannels -@all (~a resetchannels -@all +get) (%R~b resetchannels &c -@all)"),
        ),
        ("(+get) clearselectors", format!("{start} resetchannels -@all")),
    ] {
        if expected.is_empty() {
            assert!(user(rules).is_err(), "{rules}");
        } else {
            assert_eq!(told(rules), expected, "{rules}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused_in_redis_s_words() {
    let unknown = "Unknown command or category name in ACL";
    let syntax = "Syntax error";
    for (rules, last, why) in [
        ("+nope", "+nope", unknown),
        ("-nope", "-nope", unknown),
        ("+@nope", "+@nope", unknown),
        ("+", "+", unknown),
        ("-select|1", "-select|1", unknown),
        ("+config|nope", "+config|nope", unknown),
        ("+config|get|x", "+config|get|x", "Allowing first-arg of a subcommand is not supported"),
        ("+select|", "+select|", syntax),
        ("word", "word", syntax),
        ("%~a", "%~a", syntax),
        ("%RR~a", "%RR~a", syntax),
        ("%X~a", "%X~a", syntax),
        ("%", "%", syntax),
        ("(+nope)", "(+nope)", unknown),
        ("(~\"a)", "(~\"a)", syntax),
        ("(~a) ~b)", "~b)", ""),
        ("(~a) (on)", "(on)", syntax),
        ("<none", "<none", "The password you are trying to remove from the user does not exist"),
    ] {
        let outcome = user(rules).map(|_| ());
        if why.is_empty() {
            assert_eq!(outcome, Ok(()), "{rules}");
        } else {
            assert_eq!(outcome, Err(format!("Error in ACL SETUSER modifier '{last}': {why}")), "{rules}");
        }
    }
    for rules in [b"~a b".as_slice(), b"&a\tb", b"~\0", b"+select|0\nuser evil on nopass +@all"] {
        let acl = Acl::default();
        assert!(acl.set(b"u", [rules].into_iter()).is_err(), "{}", rules.escape_ascii());
        assert!(acl.set(b"a b", [].into_iter()).is_err());
        assert!(!acl.guards(), "nothing has changed");
    }
}

/// Whether a user with these rules may call this.
fn may(rules: &str, called: &str) -> Result<(), Denied> {
    let user = user(rules).expect(rules);
    let words = KeptArgs::of(called.split(' '));
    let name = called.split(' ').next().expect("a name");
    user.check(command(name), words.args())
}

#[test]
fn commands_keys_and_channels_must_all_be_allowed_by_one_selector() {
    let denied = |rules: &str, called: &str, why: Denied| assert_eq!(may(rules, called), Err(why), "{rules}: {called}");
    let allowed = |rules: &str, called: &str| assert_eq!(may(rules, called), Ok(()), "{rules}: {called}");
    denied("", "get a", Denied::Command);
    denied("+get", "get a", Denied::Key(1));
    allowed("+get ~a", "get a");
    allowed("+get %R~a", "get a");
    denied("+get %W~a", "get a", Denied::Key(1));
    allowed("+set %W~a", "set a v");
    denied("+set %W~a", "set a v get", Denied::Key(1));
    allowed("+exists %W~a", "exists a");
    denied("+copy %R~a ~b", "copy a c", Denied::Key(2));
    allowed("+copy %R~a %W~b", "copy a b");
    denied("+copy %R~a %R~b", "copy a b", Denied::Key(2));
    allowed("+bitfield %R~a", "bitfield a get u8 0");
    denied("+bitfield %R~a", "bitfield a set u8 0 1", Denied::Key(1));
    allowed("+publish &c*", "publish cat m");
    denied("+publish &c*", "publish dog m", Denied::Channel(1));
    allowed("+ssubscribe &c", "ssubscribe c");
    denied("+subscribe &c", "subscribe c d", Denied::Channel(2));
    allowed("+psubscribe &c*", "psubscribe c*");
    denied("+psubscribe &c*", "psubscribe ca*", Denied::Channel(1));
    // One selector has the command, the other the key.
    denied("+get (~a)", "get a", Denied::Key(1));
    allowed("+get (~a +get)", "get a");
    // What came furthest is told.
    denied("+get ~b (~a)", "get a", Denied::Key(1));
    denied("+publish (&c)", "publish d m", Denied::Channel(1));
    allowed("+select|0", "select 0");
    denied("+select|0", "select 1", Denied::Command);
    // Whoever may do nothing may say who it is.
    allowed("", "auth a b");
    allowed("+@all -get ~*", "set a b");
    denied("+@all -get ~*", "get a", Denied::Command);
    assert!(user("+@all ~* &*").expect("rules").is_free());
    assert!(user("(+@all ~* &*)").expect("rules").is_free());
    assert!(!user("+@all ~* &* -get").expect("rules").is_free());
}

#[test]
fn a_client_is_what_its_user_is_now() {
    let acl = Acl::default();
    assert!(!acl.guards() && acl.newcomer().is_shown());
    acl.set(b"u", [b"on".as_slice(), b">p", b"+get"].into_iter()).expect("rules");
    assert!(acl.guards());
    assert!(acl.login(b"u", b"q").is_none() && acl.login(b"v", b"p").is_none());
    let mut login = acl.login(b"u", b"p").expect("its password");
    acl.set(b"u", [b"off".as_slice(), b"+@all", b"~*", b"&*"].into_iter()).expect("rules");
    assert!(acl.login(b"u", b"p").is_none(), "it is off");
    acl.refresh(&mut login);
    assert!(login.is_shown() && login.user().is_some_and(|user| user.is_free()), "who is in stays in");
    assert_eq!(acl.delete([b"u".as_slice(), b"u", b"default"].into_iter()).len(), 1);
    acl.refresh(&mut login);
    assert!(!login.is_shown() && !acl.guards());
    acl.require(Some(PasswordHash::of(b"p")));
    assert!(acl.guards() && !acl.newcomer().is_shown() && acl.login(DEFAULT, b"p").is_some());
    acl.require(None);
    assert!(!acl.guards() && acl.is_open());
}

#[test]
fn what_users_may_have_is_bounded() {
    let acl = Acl::default();
    let fits = vec![b'a'; USER_BYTES_MAX - 200];
    let key = [b"~", &*fits].concat();
    acl.set(b"u", [&*key].into_iter()).expect("it fits");
    let more = [b"&", &*fits].concat();
    assert_eq!(acl.set(b"u", [&*more].into_iter()).map(|_| ()), Err(RuleError::TooMuch.to_string()));
    let selectors = vec![b"()".as_slice(); SELECTORS_MAX];
    acl.set(b"s", selectors.iter().copied()).expect("they fit");
    assert!(acl.set(b"s", [b"()".as_slice()].into_iter()).is_err());
    for number in acl.all().len()..USERS_MAX {
        acl.set(format!("{number}").as_bytes(), [].into_iter()).expect("room");
    }
    assert!(acl.set(b"one more", [].into_iter()).is_err());
    assert!(acl.set(b"onemore", [].into_iter()).is_err_and(|why| why.contains("at most")));
    assert!(acl.set(b"u", [].into_iter()).is_ok(), "that one is there");
}

#[test]
fn a_file_is_read_whole_or_not_at_all_and_says_what_is_wrong_where() {
    let read = |text: &str| parse(text.as_bytes(), "f", false).map_err(|error| error.to_string());
    let users = read("user a on nopass +get ~x\n\n  user default off\r\n").expect("two users");
    assert_eq!(users.len(), 2);
    let whole = "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
    for (text, wrong) in [
        ("nonsense\n", "f:1 should start with user keyword followed by the username. "),
        ("user\n", "f:1 should start with user keyword followed by the username. "),
        ("user a on\nuser a off\n", "WARNING: Duplicate user 'a' found on line 2. "),
        ("user a +nope\n", "f:1: Error in applying operation '+nope': Unknown command or category name in ACL. "),
        ("\nuser a >x %~\n", "f:2: Syntax error. "),
        ("user a (+get\n", "f:1: Unmatched parenthesis in selector definition. "),
        ("user a b\nuser c d\n", "f:1: Syntax error. f:2: Syntax error. "),
    ] {
        assert_eq!(read(text).map(|_| ()), Err(format!("{wrong}{whole}")), "{text:?}");
    }
}

/// Rules as they might be given.
fn rules() -> impl Strategy<Value = Vec<String>> {
    let simple = prop::sample::select(
        "on off nopass resetpass >a >b <a allkeys resetkeys ~* ~a ~a:* %R~b %W~b %RW~* %R~* allchannels resetchannels &* &c \
         &d* +@all -@all +@read -@write +@slow -@fast +get -get +set +config -config +config|get -config|set +select|0 \
         +select|1 -select clearselectors reset skip-sanitize-payload"
            .split_whitespace()
            .collect::<Vec<_>>(),
    );
    let word = prop_oneof![9 => simple.prop_map(str::to_owned), 1 => "[()a-z~%&+|\"'\\\\ -]{0,6}"];
    let selector = prop::collection::vec(word.clone(), 0..4).prop_map(|words| format!("({})", words.join(" ")));
    prop::collection::vec(prop_oneof![4 => word, 1 => selector], 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    /// One rule at a time, so that what is refused leaves the others.
    #[test]
    fn what_is_told_of_a_user_is_read_back_as_the_same_user(rules in rules()) {
        let acl = Acl::default();
        for rule in &rules {
            let before = acl.get(b"u").map(|user| user.line());
            if acl.set(b"u", std::iter::once(rule.as_bytes())).is_err() {
                prop_assert_eq!(before, acl.get(b"u").map(|user| user.line()), "a refused rule changes nothing");
            }
        }
        let Some(user) = acl.get(b"u") else { return Ok(()) };
        let line = user.line();
        let users = parse(&line, "f", false).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let again = &users[b"u".as_slice()];
        prop_assert_eq!(again.line(), &*line, "{}", String::from_utf8_lossy(&line));
        for called in ["get a", "set a:x v", "mset a v b v", "select 0", "config get x", "config set x y", "publish c m"] {
            let words = KeptArgs::of(called.split(' '));
            let name = called.split(' ').take(if called.starts_with("config") { 2 } else { 1 }).collect::<Vec<_>>().join("|");
            let command = command(&name);
            prop_assert_eq!(user.check(command, words.args()), again.check(command, words.args()), "{}", called);
        }
    }
}
