//! The Lua that runs inside Redis, each script one step that nothing comes between. In every one `KEYS[1]` is the mark and
//! `ARGV[1]` the id that this process knows it by; what follows them is said at each. Time is Redis's own, so the clocks of
//! our machines need not agree.

use ::redis::Script;

/// Lets a script go on only where the mark is the one that the caller knows.
const GUARD: &str = "
local mark = redis.call('GET', KEYS[1])
if not mark then return redis.error_reply('NOMARK the mark is gone') end
local id, begins_us = string.match(mark, '^(%S+) (%d+)$')
if id ~= ARGV[1] then return redis.error_reply('OTHERMARK ' .. mark) end
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
";

/// Rows of the ledger. One that is done is the word `done`; a claim is `lost|ends_us|owner`, kept beyond its end so that it
/// counts.
const ROWS: &str = "
local function row(key)
  local text = redis.call('GET', key)
  if not text then return nil end
  if text == 'done' then return { done = true } end
  local lost, ends_us, owner = string.match(text, '^(%d+)|(%d+)|(.*)$')
  return { lost = tonumber(lost), ends_us = tonumber(ends_us), owner = owner }
end
local function write(key, lost, ends_us, owner, keep_ms)
  local text = string.format('%.0f|%.0f|', lost, ends_us) .. owner
  redis.call('SET', key, text, 'PX', math.ceil((ends_us - now_us) / 1000) + keep_ms)
end
";

/// `KEYS`: position and event of each entry. `ARGV`: owner, lease in µs, how long a claim is kept beyond it in ms. Answers
/// two numbers an entry: 0 and the claims that were lost, 1 and 0 where it is done, 2 and the µs for which it is held.
///
/// A second entry that shares a key with an earlier one of the call waits for it: it would double the work that the call
/// has just been given.
const CLAIM: &str = "
if now_us < tonumber(begins_us) then
  return redis.error_reply('SETTLING ' .. string.format('%.0f', tonumber(begins_us) - now_us))
end
local owner, ends_us, keep_ms = ARGV[2], now_us + tonumber(ARGV[3]), tonumber(ARGV[4])
local taken, answer = {}, {}
for at = 2, #KEYS, 2 do
  local rows, done, held_us, again, lost = {}, false, nil, false, 0
  for key = at, at + 1 do
    local found = row(KEYS[key])
    if found and found.done then
      done = true
    elseif found and found.ends_us <= now_us then
      lost = math.max(lost, found.lost + 1)
    elseif found and found.owner ~= owner then
      held_us = math.max(held_us or 0, found.ends_us)
    end
    again = again or taken[KEYS[key]]
    rows[key] = found
  end
  if not done and not held_us and again then held_us = ends_us end
  if done then
    answer[at - 1], answer[at] = 1, 0
  elseif held_us then
    answer[at - 1], answer[at] = 2, held_us - now_us
  else
    for key = at, at + 1 do
      local before = rows[key]
      local lost_before = before and before.lost + (before.owner == owner and 0 or 1) or 0
      write(KEYS[key], lost_before, ends_us, owner, keep_ms)
      taken[KEYS[key]] = true
    end
    answer[at - 1], answer[at] = 0, lost
  end
end
return answer
";

/// `KEYS`: the rows. `ARGV`: owner, lease in µs, how long a claim is kept beyond it in ms. Answers how many were moved.
const RENEW: &str = "
local owner, ends_us, keep_ms, moved = ARGV[2], now_us + tonumber(ARGV[3]), tonumber(ARGV[4]), 0
for at = 2, #KEYS do
  local found = row(KEYS[at])
  if found and found.owner == owner and found.ends_us > now_us then
    write(KEYS[at], found.lost, ends_us, owner, keep_ms)
    moved = moved + 1
  end
end
return moved
";

/// `KEYS`: the rows. `ARGV`: how long they are remembered, in ms.
const DONE: &str = "
for at = 2, #KEYS do redis.call('SET', KEYS[at], 'done', 'PX', ARGV[2]) end
return 0
";

/// `KEYS`: the rows. `ARGV`: owner.
const RELEASE: &str = "
for at = 2, #KEYS do
  local found = row(KEYS[at])
  if found and found.owner == ARGV[2] then redis.call('DEL', KEYS[at]) end
end
return 0
";

/// `KEYS`: the rows.
const FORGET: &str = "
for at = 2, #KEYS do redis.call('DEL', KEYS[at]) end
return 0
";

/// A value stands under a key of its own, with Redis's expiry. Its name is in two sorted sets besides: by name, for scans,
/// and by end, for sweeps. `KEYS`: the value, the names, the ends. `ARGV[2]`: the name.
const VALUES: &str = "
local function remove()
  redis.call('DEL', KEYS[2])
  redis.call('ZREM', KEYS[3], ARGV[2])
  redis.call('ZREM', KEYS[4], ARGV[2])
end
local function store(value, ttl_ms)
  if ttl_ms == 0 then return remove() end
  redis.call('SET', KEYS[2], value, 'PX', ttl_ms)
  redis.call('ZADD', KEYS[3], 0, ARGV[2])
  redis.call('ZADD', KEYS[4], math.floor(now_us / 1000) + ttl_ms, ARGV[2])
end
";

/// Answers the value, or nothing.
const GET: &str = "
return redis.call('GET', KEYS[2])
";

/// `ARGV`: name, value, ms.
const PUT: &str = "
store(ARGV[3], tonumber(ARGV[4]))
return 0
";

/// `ARGV`: name, value, ms. Answers 1 where it stored.
const PUT_ABSENT: &str = "
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
store(ARGV[3], tonumber(ARGV[4]))
return 1
";

/// `ARGV`: name.
const DELETE: &str = "
remove()
return 0
";

/// `ARGV`: name, amount, ms. Answers the digits of the sum: a number of Lua would round it.
const ADD: &str = "
if redis.call('EXISTS', KEYS[2]) == 0 then
  store(ARGV[3], tonumber(ARGV[4]))
  return ARGV[3]
end
local sum = redis.pcall('INCRBY', KEYS[2], ARGV[3])
if type(sum) == 'table' and sum.err then
  if string.find(sum.err, 'overflow') then return redis.error_reply('FULL ' .. redis.call('GET', KEYS[2])) end
  return redis.error_reply('NOCOUNTER the value is no number')
end
return redis.call('GET', KEYS[2])
";

/// `KEYS`: what begins every value's key, the names, the ends. `ARGV`: the bounds of the names, how many. Answers whether
/// there may be more, the last name that was looked at, then names and values.
const SCAN: &str = "
local names = redis.call('ZRANGEBYLEX', KEYS[3], ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])
local found = {}
for _, name in ipairs(names) do
  local value = redis.call('GET', KEYS[2] .. name)
  if value then
    found[#found + 1] = name
    found[#found + 1] = value
  else
    redis.call('ZREM', KEYS[3], name)
    redis.call('ZREM', KEYS[4], name)
  end
end
return { #names == tonumber(ARGV[4]) and 1 or 0, names[#names] or '', found }
";

/// `KEYS` as in a scan. `ARGV`: how many. Answers how many names of expired values went.
const SWEEP: &str = "
local removed = 0
local ended = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', math.floor(now_us / 1000), 'LIMIT', 0, ARGV[2])
for _, name in ipairs(ended) do
  if redis.call('EXISTS', KEYS[2] .. name) == 0 then
    redis.call('ZREM', KEYS[3], name)
    redis.call('ZREM', KEYS[4], name)
    removed = removed + 1
  end
end
return removed
";

/// Makes the mark where there is none. `ARGV`: the id, and the µs for which no claims are given. Answers whether it did.
const FOUND: &str = "
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local time = redis.call('TIME')
local begins_us = time[1] * 1000000 + time[2] + tonumber(ARGV[2])
redis.call('SET', KEYS[1], ARGV[1] .. string.format(' %.0f', begins_us))
return 1
";

/// The scripts, with the digests by which Redis knows them.
pub(super) struct Scripts {
    pub(super) claim: Script,
    pub(super) renew: Script,
    pub(super) done: Script,
    pub(super) release: Script,
    pub(super) forget: Script,
    pub(super) get: Script,
    pub(super) put: Script,
    pub(super) put_absent: Script,
    pub(super) delete: Script,
    pub(super) add: Script,
    pub(super) scan: Script,
    pub(super) sweep: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        let script = |parts: &[&str]| Script::new(&[&[GUARD], parts].concat().concat());
        Self {
            claim: script(&[ROWS, CLAIM]),
            renew: script(&[ROWS, RENEW]),
            done: script(&[DONE]),
            release: script(&[ROWS, RELEASE]),
            forget: script(&[FORGET]),
            get: script(&[GET]),
            put: script(&[VALUES, PUT]),
            put_absent: script(&[VALUES, PUT_ABSENT]),
            delete: script(&[VALUES, DELETE]),
            add: script(&[VALUES, ADD]),
            scan: script(&[SCAN]),
            sweep: script(&[SWEEP]),
        }
    }
}

/// Returns the script that makes the mark: it alone goes without the guard.
pub(super) fn found() -> Script {
    Script::new(FOUND)
}
