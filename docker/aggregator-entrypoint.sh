#!/bin/sh
# Started as root only to take the owner of /results and drop to it, so that results belong to the host's user.
set -eu
if [ "$(id -u)" -ne 0 ]; then exec "$@"; fi
owner=$(stat -c %u /results)
group=$(stat -c %g /results)
exec setpriv --reuid="$owner" --regid="$group" --clear-groups -- env HOME=/tmp "$@"
