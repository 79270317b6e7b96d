-- The first bytes of what a worker said last, or '' where that has expired. Such a worker is forgotten.
-- KEYS: workers, announcement.  ARGV: name, place of the last byte
local said = redis.call('GETRANGE', KEYS[2], 0, ARGV[2])
if said == '' then redis.call('SREM', KEYS[1], ARGV[1]) end
return said
