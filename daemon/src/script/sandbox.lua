-- What scripts see of Lua, and how they are run. Loaded once, with what the host provides; returns how to run a script.
--
-- Scripts share the tables they see, and none may change them: a *sealed* table is an empty one in front of the real one,
-- whose metatable refuses all writing. So that they look like tables all the same, what goes around metatables (rawget,
-- next, ...) looks behind them.
--
-- What the host raises is no text and no table before it has gone through `plain`, so all that catches errors does that.

local host = ...
local error, pcall, xpcall, type, tostring = error, pcall, xpcall, type, tostring
local next, rawget, rawset, setmetatable, getmetatable = next, rawget, rawset, setmetatable, getmetatable
local loadstring, concat, byte, gsub = loadstring, table.concat, string.byte, string.gsub
local plain, insist, position = host.plain, host.insist, host.position

local READONLY = 'Attempt to modify a readonly table'
local behind = {}

local function refuse()
  error(READONLY, 2)
end

local function seal(real)
  local front = {}
  behind[front] = real
  return setmetatable(front, { __index = real, __newindex = refuse, __metatable = false })
end

-- A copy of a library, with the host's functions in the place of some of Lua's.
local function library(of_lua, of_host)
  local functions = {}
  for name, value in next, of_lua do functions[name] = value end
  for name, value in next, of_host do functions[name] = value end
  return functions
end

-- The globals that scripts see.
local real = {}
for _, name in next, {
  '_VERSION', 'assert', 'error', 'gcinfo', 'ipairs', 'rawequal', 'select', 'tonumber', 'tostring',
  'type', 'unpack',
} do
  real[name] = _G[name]
end

-- How the collector works is not for a script to say: it would be said to all that follow.
local collectgarbage = collectgarbage
function real.collectgarbage(what)
  if what == nil or what == 'collect' or what == 'count' or what == 'step' then return collectgarbage(what) end
  return 0
end

function real.rawget(t, key) return rawget(behind[t] or t, key) end

function real.rawset(t, key, value)
  if behind[t] then error(READONLY, 0) end
  return rawset(t, key, value)
end

function real.next(t, key) return next(behind[t] or t, key) end

function real.pairs(t)
  if type(t) ~= 'table' then error("bad argument #1 to 'pairs' (table expected, got " .. type(t) .. ')', 2) end
  return real.next, t, nil
end

function real.setmetatable(t, meta)
  if behind[t] then error(READONLY, 0) end
  return setmetatable(t, meta)
end

local string_meta = getmetatable('')
local sealed_string_meta = seal(string_meta)

function real.getmetatable(object)
  local meta = getmetatable(object)
  if meta == string_meta then return sealed_string_meta end
  -- That of sealed tables is nobody's business.
  return meta or nil
end

-- Compiled code is not read: its sanity is checked by nobody.
function real.loadstring(text, name)
  if type(text) == 'string' and byte(text) == 27 then return nil, 'compiled code is not accepted' end
  return loadstring(text, name)
end

function real.load(piece, name)
  if type(piece) ~= 'function' then
    error("bad argument #1 to 'load' (function expected, got " .. type(piece) .. ')', 2)
  end
  local pieces = {}
  while true do
    local text = piece()
    if text == nil or text == '' then break end
    if type(text) ~= 'string' then return nil, 'reader function must return a string' end
    pieces[#pieces + 1] = text
  end
  return real.loadstring(concat(pieces), name or '=(load)')
end

-- A script that has caught the error which ends it gets it again.
local function ended(ok, ...)
  if ok then return true, ... end
  insist()
  return false, plain((...))
end

-- An error reply that is caught here is seen as its text. Of another table what it has in that place, or nil, is a value more,
-- as in Redis.
local function caught(ok, ...)
  if ok then return true, ... end
  insist()
  local value = plain((...))
  if type(value) ~= 'table' then return false, value end
  local text = value.err
  if type(text) == 'string' or type(text) == 'number' then return false, text end
  return false, value, text
end

function real.pcall(...) return caught(pcall(...)) end

-- The handler is called when the stack is unwound: nothing looks at the clock while Lua's own calls it.
local function handled(handler, ok, ...)
  if ok then return true, ... end
  insist()
  local _, value = pcall(handler, plain((...)))
  return false, value
end

function real.xpcall(f, handler) return handled(handler, pcall(f)) end

local resume = coroutine.resume
real.coroutine = seal(library(coroutine, { resume = function(...) return ended(resume(...)) end }))

-- Functions of the script that gsub calls fail as they fail, so it is Lua's own that calls them.
local replace = host.string.gsub
function host.string.gsub(...)
  local _, pattern, by = ...
  if type(by) == 'function' and type(pattern) == 'string' and #pattern <= host.pattern_bytes_max then return gsub(...) end
  return replace(...)
end
local strings = library(string, host.string)

real.string, real.math, real.table = seal(strings), seal(library(math, host.math)), seal(table)
real.bit, real.struct, real.cjson, real.cmsgpack = seal(host.bit), seal(host.struct), seal(host.cjson), seal(host.cmsgpack)
real.redis = seal(host.redis)
string_meta.__index = real.string

-- From here on the globals are those above, for every chunk that is loaded.
local globals = _G
for name in next, globals do globals[name] = nil end
local function no_such(_, name)
  error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end
setmetatable(real, { __index = no_such })
local meta_of_globals = { __index = real, __newindex = refuse, __metatable = false }
setmetatable(globals, meta_of_globals)
behind[globals] = real
real._G = globals

-- What the code of a library sees while it registers functions: this alone, as in Redis. What the functions see is above.
local registering = setmetatable({ register_function = host.register_function }, { __index = no_such })
for _, name in next, {
  'log', 'LOG_DEBUG', 'LOG_VERBOSE', 'LOG_NOTICE', 'LOG_WARNING', 'REDIS_VERSION', 'REDIS_VERSION_NUM',
} do
  registering[name] = host.redis[name]
end
local loading = setmetatable({ redis = seal(registering) }, { __index = no_such })

-- An error as the client is told it: with where the script was.
local function explain(value)
  value = plain(value)
  if type(value) ~= 'table' then
    -- What Lua's functions say of themselves when the sandbox calls them.
    value = { err = 'ERR ' .. gsub(tostring(value), '^sandbox:%d+: ', '') }
  end
  local source, line = position()
  if source then
    value.source, value.line = source, line
  end
  return value
end

-- Functions of C write past a seal: what they have left there is gone.
local function clear()
  for front in next, behind do
    for name in next, front do rawset(front, name, nil) end
  end
end

-- Runs a script, which finds its keys and arguments in globals, or a function, which is given them.
local function run(script, is_function, keys, argv, call, protected_call, may)
  rawset(real, 'KEYS', not is_function and keys or nil)
  rawset(real, 'ARGV', not is_function and argv or nil)
  host.redis.call, host.redis.pcall, host.redis.acl_check_cmd = call, protected_call, may
  local ok, result
  if is_function then
    ok, result = xpcall(function() return script(keys, argv) end, explain)
  else
    ok, result = xpcall(script, explain)
  end
  host.redis.call, host.redis.pcall, host.redis.acl_check_cmd = nil, nil, nil
  clear()
  return ok, result
end

-- Runs the code of a library.
local function load(code)
  meta_of_globals.__index, behind[globals] = loading, loading
  local ok, result = xpcall(code, explain)
  meta_of_globals.__index, behind[globals] = real, real
  clear()
  return ok, result
end

return run, load
