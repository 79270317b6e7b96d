-- Removes the rest of a cancelled and swept job, or keeps only its state for a while. Returns 'deleted', or why not.
-- KEYS: job, registry, stored, inline.  ARGV: name, uid
local job = redis.call('HMGET', KEYS[1], 'uid', 'state', 'keep_s')
if (job[1] or '') ~= ARGV[2] then return 'unknown' end
if job[2] and job[2] ~= 'cancelled' then return job[2] end
if redis.call('EXISTS', KEYS[3], KEYS[4]) > 0 then return 'not swept' end
if (tonumber(job[3]) or 0) > 0 then
  redis.call('EXPIRE', KEYS[1], job[3])
else
  redis.call('DEL', KEYS[1])
end
redis.call('ZREM', KEYS[2], ARGV[1])  -- last: if the server refuses that time, the removal is found again
return 'deleted'
