# What a person would look at first when pods do not become ready: shown while waiting and after a time-out.
# shellcheck shell=bash

# with_pods NAMESPACE COMMAND…: runs a command that waits silently; says meanwhile for which pods, and when it
# fails why they are not ready.
with_pods() {
  local namespace=$1 code=0
  shift
  if [ "$DRY_RUN" = yes ]; then
    "$@"
    return
  fi
  report_pods "$namespace" 3>&- 4>&- &
  # shellcheck disable=SC2034 # ended by end_reporter, whatever happens
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

# waited_for NAMESPACE: one line with the pods that are not ready.
waited_for() {
  k get pods --namespace "$1" --no-headers 2>/dev/null | awk '
    { split($2, ready, "/") }
    ready[1] != ready[2] && $3 != "Completed" { line = line (line ? ", " : "") $1 " (" $3 ")" }
    END { if (line) print "waiting for pods: " line }'
}

# explain_pods NAMESPACE: pods, the last warnings, and the last words of those that are not ready.
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

# The names of at most three pods that are not ready.
not_ready() {
  k get pods --namespace "$1" --no-headers 2>/dev/null | awk '
    { split($2, ready, "/") }
    ready[1] != ready[2] && $3 != "Completed" && ++shown <= 3 { print $1 }' || true
}
