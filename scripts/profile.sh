# The two ways to put a mesh under the demo: sidecar (the article's) and ambient (Gateway API, no sidecars).
# shellcheck shell=bash

# Which profile `up` was asked for, or else was last used with.
mesh_profile() { printf '%s' "${MESH_PROFILE:-$(cat "$LOCAL_DIR/profile" 2>/dev/null || echo sidecar)}"; }

is_ambient() { [ "$(mesh_profile)" = ambient ]; }

# overlay_of KIND: the folder of manifests/overlays for a kind of cluster.
overlay_of() {
  case $(mesh_profile) in
    sidecar) printf '%s' "$1" ;;
    *) printf '%s-%s' "$1" "$(mesh_profile)" ;;
  esac
}

# choose_profile NAME: the one that was asked for, or nothing.
choose_profile() {
  local before
  case $1 in
    '' | sidecar | ambient) ;;
    *) fail "there is no profile '$1'; use --profile sidecar or --profile ambient" 64 ;;
  esac
  MESH_PROFILE=
  before=sidecar
  if [ -n "$(cluster_kind)" ]; then before=$(mesh_profile); fi
  # What one profile made, the other would leave behind: routes of two kinds for one Service, for example.
  if [ -n "$1" ] && [ "$1" != "$before" ] && [ -n "$(cluster_kind)" ] && [ "$DRY_RUN" != yes ]; then
    fail "a cluster with the profile $before is up; for --profile $1 remove it first with ./run.sh down"
  fi
  MESH_PROFILE=${1:-$before}
}

# --- Ambient ------------------------------------------------------------------------------------

GATEWAYS=gateways.gateway.networking.k8s.io # not Istio's own kind of the same name

# The labels that put the pods of the namespace into the mesh and its Services behind the waypoint, for callers from
# outside too: their requests count for the success rate.
ambient_labels() {
  printf '%s\n' istio.io/dataplane-mode=ambient istio.io/use-waypoint=waypoint istio.io/ingress-use-waypoint=true
}

# shellcheck disable=SC2046 # one word each
join_ambient_mesh() { k label namespace default $(ambient_labels) --overwrite; }

# apply_gateway_definitions OURS: those that are there already in a cluster of somebody else are left.
apply_gateway_definitions() {
  local url=https://github.com/kubernetes-sigs/gateway-api/releases/download/$GATEWAY_API_VERSION/standard-install.yaml
  local routes=httproutes.gateway.networking.k8s.io
  if [ "$DRY_RUN" != yes ] && [ "$1" != ours ] && k get customresourcedefinition "$GATEWAYS" "$routes"; then
    echo "the definitions are there already"
    return
  fi
  k apply --server-side -f "$url" || {
    warn "kubectl fetches the definitions itself: behind a proxy set HTTPS_PROXY. Without a network, apply a copy:"
    warn "  kubectl apply --server-side -f standard-install.yaml   # of $url"
    return 1
  }
  k wait "customresourcedefinition/$GATEWAYS" "customresourcedefinition/$routes" \
    --for condition=Established --timeout 60s
}

# wait_for_gateways TIMEOUT NAME…: until each has a proxy that is reached by an address.
wait_for_gateways() {
  local timeout=$1 name
  shift
  for name in "$@"; do
    with_pods default k wait "$GATEWAYS/$name" --namespace default --for condition=Programmed --timeout "$timeout" || {
      explain_gateway "$name"
      return 1
    }
  done
}

# What the mesh says about a Gateway.
explain_gateway() {
  say "--- conditions of gateway/$1"
  k get "$GATEWAYS" "$1" --namespace default \
    --output 'jsonpath={range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}' || true
}
