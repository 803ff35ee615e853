# The two mesh profiles of the demo: sidecar (as in the article) and ambient (Gateway API, no sidecars).
# shellcheck shell=bash

# Prints the requested profile, or the one that `up` was last used with.
mesh_profile() { printf '%s' "${MESH_PROFILE:-$(cat "$LOCAL_DIR/profile" 2>/dev/null || echo sidecar)}"; }

is_ambient() { [ "$(mesh_profile)" = ambient ]; }

# overlay_of KIND: prints the folder in manifests/overlays for a kind of cluster.
overlay_of() {
  case $(mesh_profile) in
    sidecar) printf '%s' "$1" ;;
    *) printf '%s-%s' "$1" "$(mesh_profile)" ;;
  esac
}

# choose_profile NAME: sets the profile. NAME is the requested one, or empty.
choose_profile() {
  local before
  case $1 in
    '' | sidecar | ambient) ;;
    *) fail "unknown profile '$1'; use --profile sidecar or --profile ambient" 64 ;;
  esac
  MESH_PROFILE=
  before=sidecar
  if [ -n "$(cluster_kind)" ]; then before=$(mesh_profile); fi
  # The other profile would leave objects behind, for example routes of two kinds for one Service.
  if [ -n "$1" ] && [ "$1" != "$before" ] && [ -n "$(cluster_kind)" ] && [ "$DRY_RUN" != yes ]; then
    fail "a cluster with profile $before is up; remove it with ./run.sh down before using --profile $1"
  fi
  MESH_PROFILE=${1:-$before}
}

# --- Ambient ------------------------------------------------------------------------------------

GATEWAYS=gateways.gateway.networking.k8s.io # not Istio's kind of the same name

# Labels that add the namespace's pods to the mesh and route requests to its Services through the waypoint. Requests
# from outside are included, so that they count for the success rate.
ambient_labels() {
  printf '%s\n' istio.io/dataplane-mode=ambient istio.io/use-waypoint=waypoint istio.io/ingress-use-waypoint=true
}

# shellcheck disable=SC2046 # one word per label
join_ambient_mesh() { k label namespace default $(ambient_labels) --overwrite; }

# apply_gateway_definitions OURS: applies the definitions of the Gateway API. Existing ones in a foreign cluster are
# kept.
apply_gateway_definitions() {
  local url=https://github.com/kubernetes-sigs/gateway-api/releases/download/$GATEWAY_API_VERSION/standard-install.yaml
  local routes=httproutes.gateway.networking.k8s.io
  if [ "$DRY_RUN" != yes ] && [ "$1" != ours ] && k get customresourcedefinition "$GATEWAYS" "$routes"; then
    echo "the definitions exist already"
    return
  fi
  k apply --server-side -f "$url" || {
    warn "kubectl downloads the definitions itself; behind a proxy, set HTTPS_PROXY. Without a network, apply a copy:"
    warn "  kubectl apply --server-side -f standard-install.yaml   # from $url"
    return 1
  }
  k wait "customresourcedefinition/$GATEWAYS" "customresourcedefinition/$routes" \
    --for condition=Established --timeout 60s
}

# wait_for_gateways TIMEOUT NAME…: waits until each Gateway is programmed: it has a proxy and an address.
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

# explain_gateway NAME: prints the conditions of a Gateway.
explain_gateway() {
  say "--- conditions of gateway/$1"
  k get "$GATEWAYS" "$1" --namespace default \
    --output 'jsonpath={range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}' || true
}
