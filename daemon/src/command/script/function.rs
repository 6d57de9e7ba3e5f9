//! FUNCTION, FCALL: libraries of functions, which every daemon has, and running one.

use super::super::context::Context;
use super::super::contract::{Flow, Outcome};
use super::super::error::CommandError;
use super::super::glob;
use super::super::libraries;
use super::super::options::is;
use super::{Interpreter, Script, ScriptError, run};
use crate::rdb;
use crate::resp::{Args, Reply};
use crate::script::Library;

pub(super) fn fcall(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    call(ctx, args, reply, false)
}

pub(super) fn fcall_ro(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    call(ctx, args, reply, true)
}

fn call(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>, reads_only: bool) -> Outcome {
    // That there is no such function is said before what is wrong with the keys.
    let function = find(ctx, args.at(1))?;
    let keys = crate::resp::integer(args.at(2)).ok_or(CommandError::text("ERR Bad number of keys provided"))?;
    run(ctx, args, keys, reply, reads_only, |_| Ok(function))
}

/// The function of this name.
pub(super) fn find(ctx: &mut Context<'_>, name: &[u8]) -> Result<Script, ScriptError> {
    seen(ctx, |_, lua| lua.function(name))
}

/// Works with the interpreter once it has the libraries of now.
fn seen<R>(
    ctx: &mut Context<'_>,
    work: impl FnOnce(&mut Context<'_>, &mut Interpreter) -> Result<R, ScriptError>,
) -> Result<R, ScriptError> {
    let server = ctx.server;
    server.scripts.with(|lua| {
        let view = libraries::view(ctx);
        let all = view.into_iter().flat_map(|view| view.iter());
        lua.see_libraries(view.map(|view| view.version()), all);
        work(ctx, lua)
    })
}

pub(super) fn load(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (code, mut options) = (args.at(args.len() - 1), args.from(2).first(args.len() - 3).iter());
    if let Some(unknown) = options.clone().find(|word| !is(word, "replace")) {
        let refusal = format!("ERR Unknown option given: {}", String::from_utf8_lossy(unknown));
        return Err(CommandError::Other(refusal.into()));
    }
    let replaces = options.next().is_some();
    let library = seen(ctx, |_, lua| {
        let library = lua.load_library(code)?;
        if !replaces && lua.libraries().any(|it| it.name == library.name) {
            return Err(ScriptError::Library(format!("Library '{}' already exists", library.name)));
        }
        refuse_taken(lua, std::slice::from_ref(&library))?;
        Ok(library)
    })?;
    let name = library.name.as_bytes();
    ctx.write(args.bytes(), |writer| libraries::put(writer, [(name, code)]))?;
    reply.bulk(name);
    Ok(Flow::Continue)
}

/// Refuses libraries of which a function is called as one of another library is that stays.
fn refuse_taken(lua: &Interpreter, libraries: &[Library]) -> Result<(), ScriptError> {
    for name in libraries.iter().flat_map(|library| library.functions.keys()) {
        if lua.owner(name).is_some_and(|owner| libraries.iter().all(|it| it.name != owner)) {
            return Err(ScriptError::Library(format!("Function {name} already exists")));
        }
    }
    Ok(())
}

pub(super) fn delete(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    if !ctx.write(args.bytes(), |writer| libraries::remove(writer, args.at(2)))? {
        return Err(CommandError::text("ERR Library not found"));
    }
    reply.ok();
    Ok(Flow::Continue)
}

pub(super) fn flush(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    match args.get(2) {
        None => {}
        Some(how) if args.len() == 3 && (is(how, "sync") || is(how, "async")) => {}
        Some(_) if args.len() == 3 => {
            return Err(CommandError::text("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"));
        }
        Some(_) => return Err(CommandError::wrong_subcommand(args)),
    }
    ctx.write(0, libraries::clear)?;
    reply.ok();
    Ok(Flow::Continue)
}

pub(super) fn list(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (mut pattern, mut with_code) = (None, false);
    let mut words = args.from(2).iter();
    while let Some(word) = words.next() {
        if !with_code && is(word, "withcode") {
            with_code = true;
        } else if pattern.is_none() && is(word, "libraryname") {
            let given = words.next().ok_or(CommandError::text("ERR library name argument was not given"))?;
            pattern = Some(given.to_ascii_lowercase());
        } else {
            let refusal = format!("ERR Unknown argument {}", String::from_utf8_lossy(word));
            return Err(CommandError::Other(refusal.into()));
        }
    }
    let is_wanted = |library: &Library| {
        let name = library.name.to_ascii_lowercase();
        pattern.as_ref().is_none_or(|pattern| glob::matches(pattern, name.as_bytes()))
    };
    if libraries::view(ctx).is_none() {
        reply.array(0); // that takes no interpreter
        return Ok(Flow::Continue);
    }
    seen(ctx, |ctx, lua| {
        let codes = libraries::view(ctx).filter(|_| with_code);
        reply.array_of(|items| {
            for library in lua.libraries().filter(|it| is_wanted(it)) {
                let code = codes.and_then(|view| view.get(library.name.as_bytes()));
                describe(items.one(), library, code.as_deref());
            }
        });
        Ok(())
    })?;
    Ok(Flow::Continue)
}

fn describe(reply: &mut Reply<'_>, library: &Library, code: Option<&[u8]>) {
    reply.map_of(|fields| {
        fields.text("library_name", &library.name);
        fields.text("engine", ENGINE);
        fields.field("functions").array_of(|items| {
            for (name, function) in &library.functions {
                items.one().map_of(|fields| {
                    fields.text("name", name);
                    fields.field("description").maybe_bulk(function.description.as_deref());
                    let words = function.flags.words();
                    fields.field("flags").set_of(|items| words.for_each(|word| items.one().simple(word)));
                });
            }
        });
        if let Some(code) = code {
            fields.field("library_code").bulk(code);
        }
    });
}

const ENGINE: &str = "LUA";

/// No script runs while this is answered.
pub(super) fn stats(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let counts = match libraries::view(ctx) {
        None => (0, 0),
        Some(_) => seen(ctx, |_, lua| Ok((lua.libraries().len(), lua.libraries().map(|it| it.functions.len()).sum())))?,
    };
    reply.map_of(|fields| {
        fields.field("running_script").null();
        fields.field("engines").map_of(|fields| {
            fields.field(ENGINE).map_of(|fields| {
                fields.field("libraries_count").count(counts.0);
                fields.field("functions_count").count(counts.1);
            });
        });
    });
    Ok(Flow::Continue)
}

pub(super) fn dump(ctx: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let all = libraries::sorted(libraries::view(ctx));
    reply.bulk(&rdb::dump_libraries(all.iter().map(|(_, code)| &**code)));
    Ok(Flow::Continue)
}

/// How libraries that are restored stand to those that are there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Append,
    Replace,
    Flush,
}

pub(super) fn restore(ctx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Outcome {
    let policy = match args.get(3) {
        _ if args.len() > 4 => return Err(CommandError::wrong_subcommand(args)),
        None => Policy::Append,
        Some(word) if is(word, "append") => Policy::Append,
        Some(word) if is(word, "replace") => Policy::Replace,
        Some(word) if is(word, "flush") => Policy::Flush,
        Some(_) => {
            return Err(CommandError::text(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
    };
    let codes = rdb::restore_libraries(args.at(2), ctx.limits().group_bytes_max)
        .map_err(|error| CommandError::Other(format!("ERR {error}").into()))?;
    let restored = seen(ctx, |_, lua| {
        let mut restored: Vec<Library> = Vec::new();
        for code in &codes {
            let library = lua.load_library(code)?;
            if restored.iter().any(|it| it.name == library.name) {
                return Err(ScriptError::Library(format!("Library '{}' already exists", library.name)));
            }
            restored.push(library);
        }
        let stays = |library: &&Library| policy == Policy::Append && restored.iter().any(|it| it.name == library.name);
        if let Some(library) = lua.libraries().find(stays) {
            return Err(ScriptError::Library(format!("Library {} already exists", library.name)));
        }
        if policy != Policy::Flush {
            refuse_taken(lua, &restored)?;
        }
        Ok(restored)
    })?;
    let named = || restored.iter().zip(&codes).map(|(library, code)| (library.name.as_bytes(), &**code));
    ctx.write(args.bytes(), |writer| {
        if policy == Policy::Flush {
            libraries::clear(writer)?;
        }
        libraries::put(writer, named())
    })?;
    reply.ok();
    Ok(Flow::Continue)
}
