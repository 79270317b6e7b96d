-- Ends an aggregator's lease, and records why there are no results (empty: no problem). Returns 1, or 0 if the lease
-- was lost: another aggregator may succeed.
-- KEYS: job, aggregation.  ARGV: uid, holder, reason
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[2])  -- first: a server out of memory then accepts the other writes
if ARGV[3] ~= '' and redis.call('HGET', KEYS[1], 'uid') == ARGV[1] then
  local t = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'problem', ARGV[3], 'updated_ms', t[1] * 1000 + math.floor(t[2] / 1000))
  redis.pcall('PUBLISH', KEYS[1], 'problem')
end
return 1
