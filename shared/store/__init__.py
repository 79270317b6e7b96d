"""The Redis schema: keys, Lua scripts, jobs, image payloads, totals, dead letters, workers, turns."""
