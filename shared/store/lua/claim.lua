-- Makes the caller the only aggregator of a job for a while. Returns 1, or 0 where another one is, or the job is not that one.
-- A claim that is left for longer than any can be is of a time before the server's clock was set back, and counts as expired.
-- KEYS: job, aggregation.  ARGV: uid (empty: of whatever job has the name), holder, lease in ms
local job = redis.call('HMGET', KEYS[1], 'uid', 'claim_ms')
if ARGV[1] ~= '' and job[1] ~= ARGV[1] then return 0 end
local left = redis.call('PTTL', KEYS[2])
if left ~= -2 and left <= 2 * math.max(tonumber(job[2]) or 0, tonumber(ARGV[3])) then return 0 end
redis.call('DEL', KEYS[2])  -- first, so that a full server takes the rest too
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
if job[1] then redis.call('HSET', KEYS[1], 'claim_ms', ARGV[3]) end
return 1
