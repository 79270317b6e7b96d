-- Announces a live worker for the time of a lease. Returns 1.
-- It is one script, because a reader between two commands would treat the announcement as expired.
-- KEYS: workers, announcement.  ARGV: name, announcement, lease in ms
redis.call('SREM', KEYS[1], '')  -- first: a server out of memory then accepts the other writes
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1
