-- Takes of several limits at once, or of none. Times are microseconds of this server's clock; levels are
-- tokens times the span's microseconds, so that they refill by `limit` a microsecond.
--
-- KEYS: one hash for each holder of limits, with `NAME:l` (level), `NAME:a` (as of when) and `NAME:m` (limit) of
-- each rate, and `c:REPLICA` (number, places, seen) of each replica that has requests in flight.
-- ARGV: the replica, after how long one that is not seen is dead; then for each key: how many rates, how many
-- places may be taken (-1: any), how many are asked for, how many the replica has with those, the number of that
-- word; and for each rate its name, limit, span, how much is asked for, how much is given back before.
-- Answers: which key refuses (0: none), which of its limits, that limit's value, for how long; then what is left of
-- each rate of each key.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local replica, dead = ARGV[1], tonumber(ARGV[2])
local at = 2

local function argument()
  at = at + 1
  return ARGV[at]
end

local function number()
  return tonumber(argument())
end

local function read(key)
  local fields, list = {}, redis.call('HGETALL', key)
  for i = 1, #list, 2 do
    fields[list[i]] = list[i + 1]
  end
  return fields
end

local refused = { which = 0, kind = '', limit = 0, wait = 0 }

local function refuse(which, kind, limit, wait)
  if wait > refused.wait then
    refused = { which = which, kind = kind, limit = limit, wait = wait }
  end
end

local function read_rate(which, fields)
  local rate = { name = argument(), limit = number(), span = number(), ask = number(), back = number() }
  local full = rate.limit * rate.span
  local level = full
  local stored = tonumber(fields[rate.name .. ':l'])
  if stored then
    -- What was used under another limit stays used.
    level = stored + full - tonumber(fields[rate.name .. ':m']) * rate.span
    level = level + math.max(0, now - tonumber(fields[rate.name .. ':a'])) * rate.limit
  end
  rate.level = math.min(full, math.min(full, level) + rate.back * rate.span)
  local missing = rate.ask * rate.span - rate.level
  if rate.ask > 0 and missing > 0 then
    refuse(which, rate.name, rate.limit, rate.limit > 0 and math.ceil(missing / rate.limit) or rate.span)
  end
  return rate
end

local function read_places(which, key, fields)
  local most, ask, mine, word = number(), number(), number(), number()
  local others = 0
  for name, value in pairs(fields) do
    if string.sub(name, 1, 2) == 'c:' then
      local said, count, seen = string.match(value, '^(%d+):(%d+):(%d+)$')
      if name ~= 'c:' .. replica then
        if now - tonumber(seen) > dead then
          redis.call('HDEL', key, name)
        else
          others = others + tonumber(count)
        end
      elseif tonumber(said) > word then
        -- A later word came first; it knows of this one's places.
        word, mine = tonumber(said), tonumber(count)
      end
    end
  end
  if most >= 0 and ask > 0 and others + mine > most then
    refuse(which, 'concurrency', most, 1000000)
  end
  return { ask = ask, mine = mine, word = word }
end

local all = {}
for i = 1, #KEYS do
  local fields = read(KEYS[i])
  local count = number()
  local holder = { places = read_places(i, KEYS[i], fields), rates = {} }
  for r = 1, count do
    holder.rates[r] = read_rate(i, fields)
  end
  all[i] = holder
end

local answer = { refused.which, refused.kind, refused.limit, refused.wait }
for i = 1, #KEYS do
  local places, keep = all[i].places, 120000000
  if refused.which ~= 0 then
    places.mine = math.max(0, places.mine - places.ask)
  end
  local fields = { 'c:' .. replica, string.format('%.0f:%.0f:%.0f', places.word, places.mine, now) }
  for _, rate in ipairs(all[i].rates) do
    if refused.which == 0 then
      rate.level = rate.level - rate.ask * rate.span
    end
    for _, value in ipairs({ ':l', rate.level, ':a', now, ':m', rate.limit }) do
      fields[#fields + 1] = type(value) == 'number' and string.format('%.0f', value) or rate.name .. value
    end
    if rate.limit > 0 then
      keep = math.max(keep, (rate.limit * rate.span - rate.level) / rate.limit + 60000000)
    end
    answer[#answer + 1] = math.floor(rate.level / rate.span)
  end
  if places.mine == 0 then
    redis.call('HDEL', KEYS[i], fields[1])
    table.remove(fields, 1)
    table.remove(fields, 1)
  end
  if #fields > 0 then
    redis.call('HSET', KEYS[i], unpack(fields))
    redis.call('PEXPIRE', KEYS[i], string.format('%.0f', keep / 1000))
  end
end
return answer
