-- Records one more batch, which waits for its turn: until then its score in `open` is negative. Returns 'added', or why
-- it was refused.
-- KEYS: job, batches, open.  ARGV: uid, producer, batch, paths, images, cursor
local job = redis.call('HMGET', KEYS[1], 'uid', 'state', 'producer', 'batches', 'cursor')
if job[1] ~= ARGV[1] then return 'unknown' end
if job[2] ~= 'enqueuing' then return job[2] end
if job[3] ~= ARGV[2] then return 'fenced' end
-- A repeated call, because the first answer was lost. The batch may be done already; then it is in neither key.
local paths = redis.call('HGET', KEYS[2], ARGV[3])
local again = tonumber(job[4]) == ARGV[3] + 1 and job[5] == ARGV[6] and (not paths or paths == ARGV[4])
if again then return 'added' end
if job[4] ~= ARGV[3] then return 'fenced' end
local t = redis.call('TIME')
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
redis.call('ZADD', KEYS[3], ARGV[3] - 1e12, ARGV[3])
redis.call('HINCRBY', KEYS[1], 'images', ARGV[5])
redis.call('HSET', KEYS[1], 'batches', ARGV[3] + 1, 'cursor', ARGV[6], 'updated_ms', t[1] * 1000 + math.floor(t[2] / 1000))
return 'added'
