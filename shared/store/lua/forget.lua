-- Removes a name that has no record. Returns 1, or 0 if it has one.
-- KEYS: job, registry, unfinished jobs.  ARGV: name, its entry in the index of unfinished jobs
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[2])
return 1
