# Sourced by run and full: `stage NAME BUDGET COMMAND...` runs a command in the open and holds it to
# its budget in seconds; `stages_report BUDGET` prints all stages and holds their sum to one.
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
  stage_lines+=("$(printf '%5d s of %5d  %s' "$seconds" "$budget" "$name")")
  echo "=== $name: $seconds s of $budget s, exit $status"
  if [ "$status" -ne 0 ]; then
    echo "FAILED: $name" >&2
    exit "$status"
  fi
  if [ "$seconds" -gt "$budget" ]; then
    echo "FAILED: $name took $seconds s, its budget is $budget s" >&2
    exit 1
  fi
}

stages_report() {
  local budget=$1 seconds=$((SECONDS - stages_began))
  echo
  printf '%s\n' "${stage_lines[@]}"
  printf '%5d s of %5d  in all\n' "$seconds" "$budget"
  [ "$seconds" -le "$budget" ] || {
    echo "FAILED: over the budget of the whole" >&2
    exit 1
  }
}
