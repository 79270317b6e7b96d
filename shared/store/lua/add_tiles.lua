-- Adds the tiles of the pair matrix as batches of a sealed job, numbered after its batches of images. They wait for their
-- turn, as in `add_batch`. Returns 'added', or why not.
-- KEYS: job, aggregation, open.  ARGV: uid, holder, stage, the number of tiles
local job = redis.call('HMGET', KEYS[1], 'uid', 'state', 'batches')
if job[1] ~= ARGV[1] then return 'unknown' end
if job[2] ~= 'sealed' then return job[2] end
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 'stale' end
if redis.call('ZCARD', KEYS[3]) > 0 then return 'open' end
redis.call('HDEL', KEYS[1], 'tiles_done', 'refusal', 'turn')  -- first: a server out of memory then accepts the other writes
for k = 0, ARGV[4] - 1 do redis.call('ZADD', KEYS[3], job[3] + k - 1e12, job[3] + k) end
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'tiles', ARGV[4], 'stage', ARGV[3], 'updated_ms',
           t[1] * 1000 + math.floor(t[2] / 1000))
return 'added'
