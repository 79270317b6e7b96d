-- Removes blocks from the server that are safe in the spill file. Returns 1, or 0 if the job has changed meanwhile.
-- KEYS: job, aggregation, stored, block, ...
-- ARGV: uid, bytes of the spill file before and now, host, batch, ...
local job = redis.call('HMGET', KEYS[1], 'uid', 'state', 'spool_bytes', 'claim_ms')
if job[1] ~= ARGV[1] or (job[2] ~= 'enqueuing' and job[2] ~= 'sealed') then return 0 end
if (job[3] or '0') ~= ARGV[2] then return 0 end
-- An aggregator relies on the blocks that were on the server when it started.
local left = redis.call('PTTL', KEYS[2])
-- More time than any claim has: the server's clock was set back (`claim`).
if left ~= -2 and (not job[4] or left <= 2 * (tonumber(job[4]) or 0)) then return 0 end
local freed = 0
for k = 4, #KEYS do
  freed = freed + redis.call('STRLEN', KEYS[k])
  redis.call('DEL', KEYS[k])  -- the first write takes no memory: a server out of memory then accepts the others too
  redis.call('ZREM', KEYS[3], ARGV[k + 1])
end
redis.call('HINCRBY', KEYS[1], 'block_bytes', -freed)
redis.call('HSET', KEYS[1], 'spool_bytes', ARGV[3], 'spool_host', ARGV[4])
return 1
