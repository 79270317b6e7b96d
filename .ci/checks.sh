# Functions of `.ci/run`: what CI leaves out, and what an audit's outcome means. Sourced; needs bash.

# What was left out, a line each.
LEFT_OUT=()

# Notes that a check was left out, and why. An error under CI=true unless CI_WITHOUT or .ci/exceptions names it.
leave_out() { # check, reason
  local reason=
  case " ${CI_WITHOUT:-} " in *" $1 "*) reason="allowed by CI_WITHOUT" ;; esac
  if [ -z "$reason" ]; then reason=$(exception_for "$1"); fi
  if [ -z "$reason" ] && [ "${CI:-}" = true ]; then
    echo "CI may not leave out '$1' ($2): provide it, or name it in CI_WITHOUT or, with the reason, in .ci/exceptions." >&2
    return 1
  fi
  LEFT_OUT+=("$1: $2${reason:+ ($reason)}")
}

# The reason that the file of exceptions gives for leaving a check out; nothing where it gives none.
exception_for() { # check
  local name reason
  [ -f "${CI_EXCEPTIONS:-.ci/exceptions}" ] || return 0
  while read -r name reason; do
    if [ "$name" = "$1" ]; then
      echo "${reason:-no reason given}"
      return 0
    fi
  done <"${CI_EXCEPTIONS:-.ci/exceptions}"
}

# Prints what was left out.
tell_left_out() {
  if [ ${#LEFT_OUT[@]} -eq 0 ]; then
    echo "nothing was left out"
  else
    echo "left out:"
    printf '  %s\n' "${LEFT_OUT[@]}"
  fi
}

# Runs `make audit` and tells findings from a source of advisories that does not answer. Fails on findings, on an audit that
# broke down, and where advisories may not be left out.
check_advisories() {
  local report errors status=0 verdict
  report=$(mktemp) errors=$(mktemp)
  make --silent audit AUDIT_FORMAT=json >"$report" 2>"$errors" || status=$?
  verdict=$(python3 .ci/audit.py "$status" "$report" "$errors") || status=2
  case "$verdict" in
    "clean: "*) echo "$verdict" ;;
    "unreachable: "*) leave_out advisories "${verdict#unreachable: }" || status=3 ;;
    *)
      printf '%s\n' "${verdict:-the audit could not be understood}" >&2
      cat "$errors" >&2
      status=2
      ;;
  esac
  rm -f "$report" "$errors"
  [ "${verdict%%:*}" = clean ] || { [ "${verdict%%:*}" = unreachable ] && [ "$status" -ne 3 ]; }
}
