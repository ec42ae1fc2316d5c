"""``pace.py`` in Lua, so that processes which share a Redis share one pace, each step atomic.

The state is one packed value under KEYS[1], which lives for an hour after its last use. KEYS[2] is the
cool-down, a key that lives as long as it lasts.
"""

from __future__ import annotations

from worker.throttle import pace

LENGTHEN = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
    redis.call('SET', KEYS[1], 1, 'PX', ARGV[1])
end
"""
"""Cool down, never for a shorter time than before. ARGV: milliseconds."""

_NUMBERS = "\n".join(
    f"local {name} = {getattr(pace, name)!r}"
    for name in (
        "TOLERANCE", "SLOWEST", "START", "KEEP", "CUT", "SEARCH", "DOUBT", "RISE", "SHORTEST_SETTLING",
        "LONGEST_SETTLING", "SETTLING_REQUESTS", "MOVED", "MOVED_GAIN", "PAUSE", "LONGEST_PAUSE",
    )
)  # fmt: skip

_STATE = (
    _NUMBERS
    + """
local bound, now = tonumber(ARGV[1]), tonumber(ARGV[2])
if not now then
    local time = redis.call('TIME')
    now = time[1] + time[2] / 1000000
end
local packed = redis.call('GET', KEYS[1])
local pace = packed and cmsgpack.unpack(packed) or {
    rate = 0, gain = 0, limit = 0, slot = -math.huge, last = -math.huge, started = 0, heard = 0,
    since = -math.huge, first = 0, older_since = -math.huge, older_first = 0, refused = 0, pause = PAUSE,
}
local function keep()
    redis.call('SET', KEYS[1], cmsgpack.pack(pace), 'EX', 3600)
end
local function text(number)
    return string.format('%.17g', number)
end
local function settling(rate)
    return math.min(LONGEST_SETTLING, math.max(SHORTEST_SETTLING, SETTLING_REQUESTS / rate))
end
"""
)

NEXT_SLOT = (
    _STATE
    + """
local cooling = redis.call('PTTL', KEYS[2])
if cooling > 0 then
    return text(cooling / 1000) .. ' 0 0 0 ' .. text(pace.rate)
end
local rate = bound
if pace.rate > 0 then rate = math.min(pace.rate, bound) end
local wait = pace.slot - TOLERANCE - now
if wait > 0 then
    return '0 ' .. text(wait) .. ' 0 0 ' .. text(pace.rate)
end
if pace.rate > 0 then
    local idle = now - pace.slot
    if idle > 1 / rate then
        pace.since = pace.since + idle
    else
        local seconds = math.min(now - pace.last, 2 / rate)
        local moved = pace.rate > MOVED * pace.limit
        local half = (moved and SHORTEST_SETTLING or settling(pace.rate)) / 2
        pace.rate = math.min(bound, pace.rate * math.exp(pace.gain * seconds))
        pace.gain = math.min(SEARCH, math.max(pace.gain * 2 ^ (seconds / half), moved and MOVED_GAIN or 0))
    end
elseif now - pace.since > 1 then
    local idle = now - pace.since > 2
    pace.older_since = idle and now or pace.since
    pace.older_first = idle and pace.started or pace.first
    pace.since, pace.first = now, pace.started
end
pace.slot = math.max(now, pace.slot) + 1 / rate
pace.last = now
pace.started = pace.started + 1
keep()
return '0 0 ' .. pace.started .. ' ' .. text(now) .. ' ' .. text(pace.rate)
"""
)
"""ARGV: bound or 'inf', time or ''. Returns one string, which is cheapest to read: seconds of cool-down,
seconds to wait, number and time of the request, and the learned rate."""

SLOW_DOWN = (
    _STATE
    + """
local number, started = tonumber(ARGV[3]), tonumber(ARGV[4])
if number <= pace.heard then
    if number > pace.first then pace.refused = pace.refused + 1 end
    keep()
    return '0'
end
pace.heard = pace.started
local accepted = number - 1 - pace.first - pace.refused
if pace.rate == 0 then
    local in_last_second = (number - 1 - pace.older_first) / math.max(1, started - pace.older_since)
    pace.limit, pace.gain = bound, SEARCH
    pace.rate = math.min(bound, math.max(START, in_last_second))
elseif accepted <= 0 then
    pace.refused = pace.refused + 1
    pace.last = now + pace.pause
    pace.slot = pace.last + TOLERANCE
    pace.pause = math.min(LONGEST_PAUSE, 2 * pace.pause)
    keep()
    return '0'
else
    local measured = (accepted + 0.5) / math.max(started - pace.since, 0.001)
    pace.limit = pace.rate
    pace.rate = math.max(SLOWEST, KEEP * math.min(pace.rate, math.max(measured, CUT * pace.rate)))
    pace.gain = math.max(RISE / settling(pace.rate), pace.gain / DOUBT)
end
pace.last, pace.slot = now, now + 1 / pace.rate + TOLERANCE
pace.since, pace.first, pace.refused, pace.pause = started, number, 0, PAUSE
keep()
return text(pace.rate)
"""
)
"""ARGV: bound, time or '', number and start of the request that got a 429. Returns the new rate, or 0."""
