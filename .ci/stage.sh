# Sourced by run and full: `stage NAME BUDGET COMMAND...` runs a command in the open and prints its
# seconds beside its budget; `stages_report BUDGET` prints them all and their sum. A stage over its
# budget is marked and does not fail: how long something takes depends on the machine.
stage_lines=()
stages_began=$SECONDS

stage() {
  local name=$1 budget=$2 began=$SECONDS status=0
  shift 2
  echo
  echo "=== $name (budget $budget s)"
  # Not `"$@" || status=$?`, which would switch errexit off inside a shell function.
  set +e
  (set -e; "$@") </dev/null
  status=$?
  set -e
  local seconds=$((SECONDS - began))
  stage_lines+=("$(stage_line "$seconds" "$budget" "$name")")
  echo "=== $name: $seconds s of $budget s, exit $status"
  if [ "$status" -ne 0 ]; then
    echo "FAILED: $name" >&2
    exit "$status"
  fi
}

stage_line() {
  local mark=
  [ "$1" -le "$2" ] || mark="   OVER BUDGET"
  printf '%5d s of %5d  %s%s' "$1" "$2" "$3" "$mark"
}

stages_report() {
  echo
  printf '%s\n' "${stage_lines[@]}" "$(stage_line "$((SECONDS - stages_began))" "$1" "in all")"
}
