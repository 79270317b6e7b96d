-- Ends an aggregator's claim, with the reason (or none, where it is empty) why there are no results. Returns 1, or 0 where the
-- claim was lost already: another aggregator is at it, with better luck perhaps.
-- KEYS: job, aggregation.  ARGV: uid, holder, reason
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[2])  -- first, so that a full server takes the rest too
if ARGV[3] ~= '' and redis.call('HGET', KEYS[1], 'uid') == ARGV[1] then
  local t = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'problem', ARGV[3], 'updated_ms', t[1] * 1000 + math.floor(t[2] / 1000))
  redis.pcall('PUBLISH', KEYS[1], 'problem')
end
return 1
