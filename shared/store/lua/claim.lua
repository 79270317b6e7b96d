-- Leases the aggregation of a job to the caller. Returns 1, or 0 if another aggregator has it or the uid differs.
-- A lease with more time left than any lease has is from before the server's clock was set back. It counts as expired.
-- KEYS: job, aggregation.  ARGV: uid (empty: any job of this name), holder, lease in ms
local job = redis.call('HMGET', KEYS[1], 'uid', 'claim_ms')
if ARGV[1] ~= '' and job[1] ~= ARGV[1] then return 0 end
local left = redis.call('PTTL', KEYS[2])
if left ~= -2 and left <= 2 * math.max(tonumber(job[2]) or 0, tonumber(ARGV[3])) then return 0 end
redis.call('DEL', KEYS[2])  -- first: a server out of memory then accepts the other writes
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
if job[1] then redis.call('HSET', KEYS[1], 'claim_ms', ARGV[3]) end
return 1
