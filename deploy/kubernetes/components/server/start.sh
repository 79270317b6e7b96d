#!/bin/sh
# The server with docker-compose.yml's users and rights. It runs as its own user from the start, and needs no entrypoint.
set -eu
case "$REDISCLI_AUTH" in
  "" | facequeue) echo "Set FACEQUEUE_REDIS_PASSWORD in the Secret facequeue-server to a password of your own." >&2; exit 2 ;;
esac
password=$(printf %s "$REDISCLI_AUTH" | sha256sum | cut -c 1-64)
rights="on #$password ~* &* -@all +@read +@write +@pubsub +@transaction +@scripting +@connection -@dangerous +time +info"
printf 'user default %s\nuser facequeue %s\n' "$rights" "$rights" > "${TMPDIR:-/tmp}/users.acl"
if command -v valkey-server >/dev/null; then server=valkey-server; else server=redis-server; fi
exec "$server" --aclfile "${TMPDIR:-/tmp}/users.acl" --appendonly yes --appendfsync everysec --save "" \
  --maxmemory "$REDIS_MAXMEMORY" --maxmemory-policy noeviction "$@"
