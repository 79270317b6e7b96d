-- Takes blocks off the server that are safe in the spool. Returns 1, or 0 where the job is not as it was thought to be.
-- KEYS: job, aggregation, stored, block, ...  ARGV: uid, spool bytes before, spool bytes now, host, batch, ...
local job = redis.call('HMGET', KEYS[1], 'uid', 'state', 'spool_bytes', 'claim_ms')
if job[1] ~= ARGV[1] or (job[2] ~= 'enqueuing' and job[2] ~= 'sealed') then return 0 end
if (job[3] or '0') ~= ARGV[2] then return 0 end
-- Whoever aggregates goes by what was on the server when it began.
local left = redis.call('PTTL', KEYS[2])
-- More than any claim has left: the server's clock was set back (`claim`).
if left ~= -2 and (not job[4] or left <= 2 * (tonumber(job[4]) or 0)) then return 0 end
local freed = 0
for k = 4, #KEYS do
  freed = freed + redis.call('STRLEN', KEYS[k])
  redis.call('DEL', KEYS[k])  -- also the first write: it takes no memory, so a full server takes the rest too
  redis.call('ZREM', KEYS[3], ARGV[k + 1])
end
redis.call('HINCRBY', KEYS[1], 'block_bytes', -freed)
redis.call('HSET', KEYS[1], 'spool_bytes', ARGV[3], 'spool_host', ARGV[4])
return 1
