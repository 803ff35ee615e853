# up: cluster, images, app and controller; again: repairs and goes on.
# shellcheck shell=bash

verb_up() {
  local kind='' why=''
  while [ $# -gt 0 ]; do
    case $1 in
      --on)
        kind=${2:-}
        shift
        why="as asked"
        ;;
      --on=*)
        kind=${1#--on=}
        why="as asked"
        ;;
      --dry-run) DRY_RUN=yes ;;
      *) fail "up knows --on local|minikube|current and --dry-run, not $1" 64 ;;
    esac
    if [ $# -gt 0 ]; then shift; fi
  done
  if [ -z "$kind" ]; then
    kind=$(cluster_kind)
    why="it is up already"
  fi
  if [ -z "$kind" ]; then
    if have minikube; then
      kind=minikube
      why="minikube is on the PATH; --on local needs nothing"
    else
      kind=local
      why="minikube is not on the PATH"
    fi
  fi
  case $kind in
    local | minikube | current) ;;
    *) fail "there is no cluster kind '$kind'; use --on local, --on minikube or --on current" 64 ;;
  esac
  refuse_second_cluster "$kind"
  # shellcheck disable=SC2034 # read by cluster_kind
  CLUSTER_KIND=$kind
  say "Canary release on: $kind ($why)"
  "up_on_$kind"
}

# One LOCAL_DIR, one cluster: `down` could otherwise not tell what to remove.
refuse_second_cluster() {
  local before
  before=$(cluster_kind)
  if [ -n "$before" ] && [ "$before" != "$1" ] && [ "$DRY_RUN" != yes ]; then
    fail "a cluster of kind $before is up; remove it first with ./run.sh down"
  fi
}

# remember_kind KIND: what `down`, `release` and the others work on.
remember_kind() {
  if [ "$DRY_RUN" != yes ]; then
    mkdir -p "$LOCAL_DIR"
    printf '%s\n' "$1" >"$LOCAL_DIR/on"
  fi
}

# --- Steps that every kind of cluster shares ----------------------------------------------------

apply_crds() {
  k apply --server-side --force-conflicts -f manifests/base/crds.yaml
  k wait --for condition=Established --timeout 60s -f manifests/base/crds.yaml
}

apply_overlay() { k apply -k "manifests/overlays/$1"; }

wait_for_rollouts() {
  k rollout status deployment/canary-controller --namespace istio-system --timeout "$1"
  k rollout status deployment/flagger-loadtester --namespace default --timeout "$1"
}

# A fresh Canary becomes Initialized; after a release it is Succeeded or Failed. All of them serve.
wait_for_canary() {
  if [ "$DRY_RUN" = yes ]; then
    k wait canary/simple-app --namespace default --for 'jsonpath={.status.phase}=Initialized' --timeout "${1}s"
    return
  fi
  wait_until "$1" "canary/simple-app to be initialized" canary_is_initialized
}

canary_is_initialized() {
  local phase
  phase=$(k get canary simple-app --namespace default --output 'jsonpath={.status.phase}')
  case $phase in
    '' | Initializing)
      echo "phase: ${phase:-none yet}"
      return 1
      ;;
  esac
}

# app_answers URL: prints the answer.
app_answers() { curl --silent --show-error --fail --max-time 5 "$1"; }
