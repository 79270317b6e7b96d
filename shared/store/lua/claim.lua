-- Makes the caller the only aggregator of a job for a while. Returns 1, or 0 where another one is, or the job is not that one.
-- KEYS: job, aggregation.  ARGV: uid (empty: of whatever job has the name), holder, lease in ms
if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'uid') ~= ARGV[1] then return 0 end
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('DEL', KEYS[2])  -- first, so that a full server takes the rest too
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1
