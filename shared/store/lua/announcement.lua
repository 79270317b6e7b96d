-- Returns the first bytes of a worker's announcement, or '' if it has expired. Such a worker is removed.
-- KEYS: workers, announcement.  ARGV: name, index of the last byte
local said = redis.call('GETRANGE', KEYS[2], 0, ARGV[2])
if said == '' then redis.call('SREM', KEYS[1], ARGV[1]) end
return said
