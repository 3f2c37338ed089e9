/**
 * The Lua scripts of the Redis store. Each touches the two keys of one grant, which share a hash slot; the clock is the
 * server's. The rights the gateway's user needs are ACL_RIGHTS.
 */

/** What an ACL must allow the gateway's user (`ACL SETUSER daypass on >… resetchannels …`). */
export const ACL_RIGHTS =
  '~dp:* &dp:feed +eval +get +exists +set +del +pttl +time +publish +subscribe +ping +info +client|setname';

/** Milliseconds since the epoch by the server's clock, the same throughout one script. */
const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/** KEYS grant, tombstone; ARGV token, expiry. PXAT in the past stores nothing and still says OK: it is asked before. */
export const PUT = `${NOW}
if redis.call('EXISTS', KEYS[2]) == 1 then return 'revoked' end
if tonumber(ARGV[2]) <= now then return 'past' end
redis.call('SET', KEYS[1], ARGV[1], 'PXAT', ARGV[2])
return 'stored'
`;

/** KEYS grant, tombstone. The time is a string: RESP2 would cut a Lua number, and Lua 5.1's tostring rounds it. */
export const GET = `${NOW}
return { redis.call('GET', KEYS[1]), redis.call('EXISTS', KEYS[2]), string.format('%.0f', now) }
`;

/**
 * KEYS grant, tombstone; ARGV until, channel, id. A tombstone's expiry only grows. DEL comes first: a server out of
 * memory refuses a script's first write when it needs memory, and none after it; so the tombstone is set all the same.
 */
export const REVOKE = `${NOW}
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
local left = redis.call('PTTL', KEYS[2])
if left ~= -1 and now + math.max(left, 0) < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[2], '1', 'PXAT', ARGV[1])
end
return 'revoked'
`;
