//! Commands about the connection itself.

mod auth;
mod client;
mod clients;
mod tracking;

use super::arguments::{Argument, block, integer, one_of, string, word};
use super::context::Context;
use super::contract::{Command, Flow, Handler, Outcome};
use super::error::CommandError;
use super::flags::{ADMIN, ALLOW_BUSY, Categories, FAST, Flags, LOADING, NO_AUTH, NOSCRIPT, STALE};
use super::help::help;
use super::options::{int_arg, is, timeout_arg};
use super::wait::Wait;
use crate::account::REDIS_VERSION;
use crate::resp::{Args, Protocol, Reply};
use crate::session::{Mode, Replies};

const GROUP: &str = "connection";

const fn command(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> Command {
    Command::new(GROUP, name, arity, flags, handler).also(Categories::CONNECTION)
}

const ALWAYS: Flags = LOADING.and(STALE);
const TALK: Flags = NOSCRIPT.and(ALWAYS).and(FAST).and(NO_AUTH).and(ALLOW_BUSY);
const ABOUT_CLIENT: Flags = NOSCRIPT.and(ALWAYS);
const CREDENTIALS: &[Argument] = &[string("username"), string("password")];

pub(super) const COMMANDS: &[Command] = &[
    command("ping", -1, FAST, ping)
        .about("1.0.0", "O(1)", "Answers PONG, or the message.")
        .takes(&[string("message").optional()]),
    command("echo", 2, ALWAYS.and(FAST), echo)
        .about("1.0.0", "O(1)", "Answers the message.")
        .takes(&[string("message")]),
    command("auth", -2, TALK, auth::auth)
        .about("1.0.0", "O(N), N the passwords of the user", "Shows who the client is.")
        .changed(&[("6.0.0", "Takes the name of a user.")])
        .takes(&[string("username").optional(), string("password")])
        .hiding(|_, at| at >= 1),
    command("hello", -1, TALK, hello)
        .about("6.0.0", "O(1)", "Chooses the version of the protocol and says who answers.")
        .changed(&[("6.2.0", "Without a version it only says who answers.")])
        .takes(&[
            integer("protover").optional(),
            block("auth", CREDENTIALS).behind("AUTH").optional(),
            string("clientname").behind("SETNAME").optional(),
        ])
        .hiding(auth::is_secret_of_hello),
    command("select", 2, ALWAYS.and(FAST), select)
        .about("1.0.0", "O(1)", "Chooses the database.")
        .takes(&[integer("index")]),
    command("quit", -1, TALK, quit).about("1.0.0", "O(1)", "Closes the connection."),
    command("reset", 1, TALK, reset).about("6.2.0", "O(1)", "Forgets everything the connection asked for."),
    Command::container(
        GROUP,
        "client",
        &[
            command("client|id", 2, ABOUT_CLIENT, client::id).about(
                "5.0.0",
                "O(1)",
                "Tells the number of this connection.",
            ),
            command("client|getname", 2, ABOUT_CLIENT, client::getname).about(
                "2.6.9",
                "O(1)",
                "Tells the name of this connection.",
            ),
            command("client|setname", 3, ABOUT_CLIENT, client::setname)
                .about("2.6.9", "O(1)", "Names this connection.")
                .takes(&[string("connection-name")]),
            command("client|setinfo", 4, ABOUT_CLIENT, client::setinfo)
                .about("7.2.0", "O(1)", "Names the client's library.")
                .takes(&[one_of("attribute", &[word("LIB-NAME"), word("LIB-VER")]), string("value")]),
            command("client|info", 2, ABOUT_CLIENT, clients::info).about("6.2.0", "O(1)", "Describes this connection."),
            command("client|list", -2, ADMIN.and(ABOUT_CLIENT), clients::list)
                .about("2.4.0", "O(N), N the clients", "Describes the clients of this daemon.")
                .changed(&[("5.0.0", "Accepts a type."), ("6.2.0", "Accepts ids.")])
                .takes(&[
                    one_of("client-type", &[word("NORMAL"), word("MASTER"), word("REPLICA"), word("PUBSUB")])
                        .behind("TYPE")
                        .optional(),
                    integer("client-id").behind("ID").optional().multiple(),
                ]),
            command("client|kill", -3, ADMIN.and(ABOUT_CLIENT), clients::kill)
                .about("2.4.0", "O(N), N the clients", "Closes connections.")
                .changed(&[("2.8.12", "Takes conditions.")])
                .takes(&[string("filter").multiple()]),
            command("client|no-touch", 3, ABOUT_CLIENT, client::no_touch)
                .about("7.2.0", "O(1)", "Accepted; what is read is not noted at the keys.")
                .takes(&[one_of("enabled", &[word("ON"), word("OFF")])]),
            command("client|help", 2, ALWAYS, help).about("5.0.0", "O(1)", "Explains the subcommands."),
            command("client|no-evict", 3, ADMIN.and(ABOUT_CLIENT), client::no_evict)
                .about("7.0.0", "O(1)", "Accepted; clients are never evicted.")
                .takes(&[one_of("enabled", &[word("ON"), word("OFF")])]),
            command("client|unblock", -3, ADMIN.and(ABOUT_CLIENT), client::unblock)
                .about("5.0.0", "O(N), N the clients that are blocked", "Has a client that is blocked wait no longer.")
                .takes(&[integer("client-id"), one_of("unblock-type", &[word("TIMEOUT"), word("ERROR")]).optional()]),
            command("client|pause", -3, ADMIN.and(ABOUT_CLIENT), client::pause)
                .about("3.0.0", "O(1)", "Holds the commands of all clients for a while.")
                .changed(&[("6.2.0", "Holds nothing but writes, if it is told.")])
                .takes(&[integer("timeout"), one_of("mode", &[word("WRITE"), word("ALL")]).optional()]),
            command("client|unpause", 2, ADMIN.and(ABOUT_CLIENT), client::unpause).about(
                "6.2.0",
                "O(N), N the clients that are held",
                "Ends a pause; clients that were held go on in the order in which they came.",
            ),
            command("client|tracking", -3, ABOUT_CLIENT, tracking::tracking)
                .about("6.0.0", "O(1)", "Has this connection told of keys that change after it has read them.")
                .takes(&[
                    one_of("status", &[word("ON"), word("OFF")]),
                    integer("client-id").behind("REDIRECT").optional(),
                    string("prefix").behind("PREFIX").optional().multiple(),
                    word("BCAST").optional(),
                    word("OPTIN").optional(),
                    word("OPTOUT").optional(),
                    word("NOLOOP").optional(),
                ]),
            command("client|caching", 3, ABOUT_CLIENT, tracking::caching)
                .about("6.0.0", "O(1)", "Says whether the keys of the next command are tracked.")
                .takes(&[one_of("mode", &[word("YES"), word("NO")])]),
            command("client|trackinginfo", 2, ABOUT_CLIENT, tracking::trackinginfo).about(
                "6.2.0",
                "O(1)",
                "Tells how this connection tracks.",
            ),
            command("client|getredir", 2, ABOUT_CLIENT, tracking::getredir).about(
                "6.0.0",
                "O(1)",
                "Tells which client is told in place of this connection.",
            ),
            command("client|reply", 3, ABOUT_CLIENT, client::reply)
                .about("3.2.0", "O(1)", "Chooses whether commands are answered.")
                .takes(&[one_of("mode", &[word("ON"), word("OFF"), word("SKIP")])]),
        ],
    )
    .about("2.4.0", "Depends on the subcommand", "Commands about the client."),
];

fn ping(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    match args.get(1) {
        message if ctx.session.mode() == Mode::Subscribed && args.len() <= 2 => {
            reply.array(2);
            reply.bulk(b"pong");
            reply.bulk(message.unwrap_or_default());
        }
        None => reply.simple("PONG"),
        Some(message) if args.len() == 2 => reply.bulk(message),
        Some(_) => return Err(CommandError::Arity("ping".into())),
    }
    Ok(Flow::Continue)
}

fn echo(_: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.bulk(&args[1]);
    Ok(Flow::Continue)
}

fn select(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    ctx.session.database = ctx.database(int_arg(&args[1])?).ok_or(CommandError::NoDatabase)?;
    reply.ok();
    Ok(Flow::Continue)
}

fn quit(_: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.ok();
    Ok(Flow::Close)
}

/// Everything the connection asked for is forgotten, except what it wrote: `WAIT` may still be asked for that.
fn reset(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    ctx.session.set_protocol(Protocol::Resp2);
    let mut facts = ctx.session.client.facts();
    (facts.monitors, facts.no_evict, facts.no_touch) = (false, false, false);
    facts.name = Box::default();
    drop(facts);
    ctx.session.replies = Replies::On;
    ctx.session.database = 0;
    ctx.session.transaction = None;
    ctx.log_in(ctx.server.acl.newcomer());
    ctx.session.let_go(ctx.server);
    ctx.session.client.set_listens(false);
    if !ctx.session.present.is_empty() {
        let present = std::mem::take(&mut ctx.session.present);
        return Ok(Flow::Wait(Wait::new(
            |_, _| async move { drop(present) },
            |_, (), reply| {
                reply.simple("RESET");
                Ok(Flow::Continue)
            },
        )));
    }
    reply.set_protocol(Protocol::Resp2);
    reply.simple("RESET");
    Ok(Flow::Continue)
}

fn hello(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let protocol = match args.get(1) {
        None => ctx.session.protocol,
        Some(version) => match crate::resp::integer(version) {
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return Err(CommandError::text("NOPROTO unsupported protocol version")),
            None => {
                return Err(CommandError::text("ERR Protocol version is not an integer or out of range"));
            }
        },
    };
    let (mut name, mut credentials) = (None, None);
    let mut at = 2;
    while let Some(option) = args.get(at) {
        let more = args.len() - at - 1;
        if is(option, "auth") && more >= 2 {
            credentials = Some((args.at(at + 1), args.at(at + 2)));
            at += 3;
        } else if is(option, "setname") && more >= 1 {
            client::check_name(&args[at + 1], "Client names")?;
            name = Some(args.at(at + 1));
            at += 2;
        } else {
            let option = String::from_utf8_lossy(option);
            return Err(CommandError::Other(format!("ERR Syntax error in HELLO option '{option}'").into()));
        }
    }
    if let Some((user, password)) = credentials {
        auth::log_in(ctx, args.at(0), user, password)?;
    }
    if !ctx.session.login.is_shown() && ctx.server.acl.guards() {
        return Err(CommandError::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> \
             <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        ctx.session.client.facts().name = name.into();
    }
    ctx.session.set_protocol(protocol);
    reply.set_protocol(protocol);
    reply.map_of(|fields| {
        fields.text("server", "redis");
        fields.text("version", REDIS_VERSION);
        fields.field("proto").integer(protocol.version());
        fields.count("id", ctx.session.id);
        fields.text("mode", "standalone");
        fields.text("role", "master");
        fields.field("modules").array(0);
    });
    Ok(Flow::Continue)
}
