-- Takes the messages of a job out of a stretch of a queue. Returns {the index to go on at, or -1 at the end, messages removed}
-- KEYS: queue, a key that is never there.  ARGV: job, index to begin at, most messages to look at, most bytes
local first, bytes, removed, gone = tonumber(ARGV[2]), 0, 0, 'facequeue:removed'
local last, ended = first + ARGV[3], false
redis.call('DEL', KEYS[2])  -- first, so that a full server takes the rest too
local place = first
while place < last and bytes < tonumber(ARGV[4]) and not ended do
  local some = redis.call('LRANGE', KEYS[1], place, place + 63)
  for k, message in ipairs(some) do
    bytes = bytes + #message
    if string.find(message, '"id": "' .. ARGV[1] .. ':', 1, true) or string.find(message, '"id":"' .. ARGV[1] .. ':', 1, true) then
      redis.call('LSET', KEYS[1], place + k - 1, gone)
      removed = removed + 1
    end
  end
  place = place + #some
  ended = #some == 0
end
-- One walk through the list for all of them, not one each, from the end that is nearer.
local near_tail = 2 * place > redis.call('LLEN', KEYS[1])
if removed > 0 then redis.call('LREM', KEYS[1], near_tail and -removed or removed, gone) end
return {ended and -1 or place - removed, removed}
