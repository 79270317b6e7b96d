-- Marks a tile of the pair matrix done, once. Returns 'stored', 'done' (another process was first), 'last' (all tiles
-- are done), or why not.
-- KEYS: job, open, leases, holders, attempts, losses, refusals.  ARGV: uid, batch, stage
local job = redis.call('HMGET', KEYS[1], 'uid', 'state', 'stage')
if job[1] ~= ARGV[1] then return 'unknown' end
if job[2] ~= 'sealed' then return job[2] end
if job[3] ~= ARGV[3] then return 'unknown' end
local answer = 'done'
if redis.call('ZREM', KEYS[2], ARGV[2]) == 1 then  -- first: a server out of memory then accepts the other writes
  redis.call('ZREM', KEYS[3], ARGV[2])
  redis.call('HDEL', KEYS[4], ARGV[2])
  redis.call('HDEL', KEYS[5], ARGV[2])
  redis.call('HDEL', KEYS[6], ARGV[2])
  redis.call('HDEL', KEYS[1], 'refusal')
  redis.call('UNLINK', KEYS[7])
  redis.call('HINCRBY', KEYS[1], 'tiles_done', 1)
  local t = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'updated_ms', t[1] * 1000 + math.floor(t[2] / 1000))
  answer = 'stored'
end
if redis.call('ZCARD', KEYS[2]) == 0 then return 'last' end
return answer
