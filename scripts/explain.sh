# Diagnostics for pods that do not become ready, printed while waiting and after a timeout.
# shellcheck shell=bash

# with_pods NAMESPACE COMMAND…: runs a command that waits silently. Reports the pods that are not ready while it
# runs, and diagnostics if it fails.
with_pods() {
  local namespace=$1 code=0
  shift
  if [ "$DRY_RUN" = yes ]; then
    "$@"
    return
  fi
  report_pods "$namespace" 3>&- 4>&- &
  # shellcheck disable=SC2034 # ended by end_reporter in all cases
  REPORTER=$!
  disown
  "$@" || code=$?
  end_reporter
  if [ "$code" -ne 0 ]; then explain_pods "$namespace"; fi
  return "$code"
}

report_pods() {
  while sleep 3 >/dev/null 2>&1; do
    waited_for "$1" || true
  done
}

# waited_for NAMESPACE: prints one line with the pods that are not ready.
waited_for() {
  k get pods --namespace "$1" --no-headers 2>/dev/null | awk '
    { split($2, ready, "/") }
    ready[1] != ready[2] && $3 != "Completed" { line = line (line ? ", " : "") $1 " (" $3 ")" }
    END { if (line) print "waiting for pods: " line }'
}

# explain_pods NAMESPACE: prints the pods, the last warnings, and the last log lines of pods that are not ready.
explain_pods() {
  local namespace=$1 pod
  say "--- pods in $namespace"
  k get pods --namespace "$namespace" || true
  say "--- last warnings in $namespace"
  k get events --namespace "$namespace" --field-selector type=Warning --sort-by .lastTimestamp \
    --output 'custom-columns=OBJECT:.involvedObject.name,REASON:.reason,MESSAGE:.message' --no-headers 2>/dev/null |
    tail -n 8 || true
  for pod in $(not_ready "$namespace"); do
    say "--- last lines of $pod"
    k logs --namespace "$namespace" "$pod" --all-containers --tail 5 2>&1 || true
  done
}

# Prints the names of at most three pods that are not ready.
not_ready() {
  k get pods --namespace "$1" --no-headers 2>/dev/null | awk '
    { split($2, ready, "/") }
    ready[1] != ready[2] && $3 != "Completed" && ++shown <= 3 { print $1 }' || true
}
