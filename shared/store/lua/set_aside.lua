-- Renames keys that have another type than they should, for a week. Returns {key, the type that it has, ...} of these.
-- KEYS: key, its new name, ...  ARGV: the right type of each key, ...
local found = {}
for k = 1, #ARGV do
  local key, name = KEYS[2 * k - 1], KEYS[2 * k]
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'none' and kind ~= ARGV[k] then
    redis.call('RENAME', key, name)
    redis.call('EXPIRE', name, 604800)
    found[#found + 1] = key
    found[#found + 1] = kind
  end
end
return found
