-- A worker says that it lives, for the time of a lease. Returns 1.
-- In one step: whoever looks for workers in between would take the worker for one whose announcement has expired.
-- KEYS: workers, announcement.  ARGV: name, what it says, lease in ms
redis.call('SREM', KEYS[1], '')  -- first, so that a full server takes the rest too
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1
