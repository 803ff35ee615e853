# up: starts cluster, images, app and controller. Running it again repairs and continues.
# shellcheck shell=bash

verb_up() {
  local kind='' why='' profile=''
  unset IMAGES # an option, not an environment variable
  while [ $# -gt 0 ]; do
    case $1 in
      --on)
        kind=${2:-}
        shift
        why="as requested"
        ;;
      --on=*)
        kind=${1#--on=}
        why="as requested"
        ;;
      --images)
        if [ $# -lt 2 ]; then fail "--images needs a prefix such as registry.example.com/team/" 64; fi
        IMAGES=$2
        shift
        ;;
      --images=*) IMAGES=${1#--images=} ;;
      --profile)
        if [ $# -lt 2 ]; then fail "--profile needs a name: sidecar or ambient" 64; fi
        profile=$2
        shift
        ;;
      --profile=*) profile=${1#--profile=} ;;
      --dry-run) DRY_RUN=yes ;;
      *) fail "unknown option $1; up accepts --on local|minikube|current, --profile sidecar|ambient, --images PREFIX and --dry-run" 64 ;;
    esac
    if [ $# -gt 0 ]; then shift; fi
  done
  if [ -z "$kind" ]; then
    kind=$(cluster_kind)
    why="already up"
  fi
  if [ -z "$kind" ]; then
    if have minikube; then
      kind=minikube
      why="minikube is on the PATH; --on local has no prerequisites"
    else
      kind=local
      why="minikube is not on the PATH"
    fi
  fi
  case $kind in
    local | minikube | current) ;;
    *) fail "unknown cluster kind '$kind'; use --on local, --on minikube or --on current" 64 ;;
  esac
  if [ -n "${IMAGES+given}" ] && [ "$kind" != current ]; then
    fail "--images requires --on current; for $kind the images are built locally" 64
  fi
  refuse_second_cluster "$kind"
  choose_profile "$profile"
  # shellcheck disable=SC2034 # read by cluster_kind
  CLUSTER_KIND=$kind
  # shellcheck disable=SC2034 # read when a step fails
  if is_ambient; then
    say "Canary release on: $kind, profile ambient ($why)"
    GO_ON="./run.sh up --on $kind --profile ambient continues from here."
  else
    say "Canary release on: $kind ($why)"
    GO_ON="./run.sh up --on $kind continues from here."
  fi
  "up_on_$kind"
}

# A LOCAL_DIR has at most one cluster, so that `down` knows what to remove.
refuse_second_cluster() {
  local before
  before=$(cluster_kind)
  if [ -n "$before" ] && [ "$before" != "$1" ] && [ "$DRY_RUN" != yes ]; then
    fail "a cluster of kind $before is up; remove it first with ./run.sh down"
  fi
}

# remember_kind KIND: records kind and profile of the cluster for the other verbs.
remember_kind() {
  if [ "$DRY_RUN" != yes ]; then
    mkdir -p "$LOCAL_DIR"
    mesh_profile >"$LOCAL_DIR/profile.new" && mv "$LOCAL_DIR/profile.new" "$LOCAL_DIR/profile"
    printf '%s\n' "$1" >"$LOCAL_DIR/on"
  fi
}

# --- Steps shared by all kinds of cluster -------------------------------------------------------

apply_crds() {
  k apply --server-side --force-conflicts -f manifests/controller/crds.yaml
  k wait --for condition=Established --timeout 60s -f manifests/controller/crds.yaml
}

# install_release KIND: installs app and controller on a cluster with Istio and Prometheus.
install_release() {
  step "Custom resource definitions" apply_missing_crds
  case $1 in
    current) step "App, load tester, controller, canary" apply_what_is_missing ;;
    *) step "App, load tester, controller, canary" apply_overlay "$1" ;;
  esac
  if is_ambient; then
    # On other clusters the ingress Gateway needs an address from a load balancer, which may not exist.
    case $1 in
      current) step "Waypoint is programmed" wait_for_gateways 5m waypoint ;;
      *) step "Waypoint and gateway are programmed" wait_for_gateways 5m waypoint simple-app ;;
    esac
  fi
  step "Controller and load tester are ready" wait_for_rollouts 5m
  step "Canary is initialized" wait_for_canary 300
}

# Existing definitions may belong to another installation and be newer, so they are kept.
apply_missing_crds() {
  if [ "$DRY_RUN" != yes ] && k get customresourcedefinition canaries.flagger.app metrictemplates.flagger.app; then
    echo "the definitions exist already"
    return
  fi
  apply_crds
}

apply_overlay() { k apply -k "manifests/overlays/$(overlay_of "$1")"; }

wait_for_rollouts() {
  wait_for_deployment istio-system canary-controller "$1"
  wait_for_deployment default flagger-loadtester "$1"
}

# wait_for_deployment NAMESPACE NAME TIMEOUT
wait_for_deployment() {
  k rollout status "deployment/$2" --namespace "$1" --timeout "$3" || {
    explain_pods "$1"
    return 1
  }
}

# A new Canary becomes Initialized. After a release it is Succeeded or Failed. All of these phases serve traffic.
wait_for_canary() {
  if [ "$DRY_RUN" = yes ]; then
    k wait canary/simple-app --namespace default --for 'jsonpath={.status.phase}=Initialized' --timeout "${1}s"
    return
  fi
  wait_until "$1" "canary/simple-app to be initialized" canary_is_initialized || {
    explain_canary
    return 1
  }
}

# Prints the canary's events and the controller's log.
explain_canary() {
  say "--- events of canary/simple-app"
  k get events --namespace default --field-selector involvedObject.kind=Canary \
    --output custom-columns=TYPE:.type,MESSAGE:.message --no-headers | tail -n 8 || true
  say "--- last lines of the controller"
  k logs --namespace istio-system --selector app.kubernetes.io/name=canary-controller --tail 8 || true
  explain_pods default
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

# app_answers URL: prints the response.
app_answers() { curl --silent --show-error --fail --max-time 5 "$1"; }
