# up --on minikube: Minikube with Istio and kube-prometheus-stack.
# shellcheck shell=bash

# Images, kubectl, istioctl and helm must all use the same cluster, regardless of the active profile.
export MINIKUBE_PROFILE=${MINIKUBE_PROFILE:-minikube}

up_on_minikube() {
  if [ "$DRY_RUN" != yes ]; then check_minikube_tools; fi
  remember_kind minikube
  step "Minikube" start_minikube
  step "Addon metrics-server" run minikube addons enable metrics-server
  step "Image simple-app:$APP_VERSION" minikube_app_image "$APP_VERSION"
  step "Image simple-app:1.0.1" minikube_app_image 1.0.1
  step "Image simple-app:1.0.2-slow" minikube_app_image 1.0.2-slow "DELAY=4s+-500ms"
  step "Image simple-app:1.0.3-errors" minikube_app_image 1.0.3-errors ERROR_RATE=30%
  step "Image canary-controller:$PARTS_VERSION" minikube_part_image controller canary-controller
  step "Image loadtester:$PARTS_VERSION" minikube_part_image loadtester loadtester
  if is_ambient; then
    step "Gateway API definitions" minikube_gateway_definitions
    step "Istio in ambient mode" install_ambient_istio
    step "Namespace default in the mesh" join_ambient_mesh
  else
    step "Istio with ingress and egress gateway" install_istio
    step "Sidecars in namespace default" k label namespace default istio-injection=enabled --overwrite
  fi
  step "Helm repository prometheus-community" run helm repo add --force-update prometheus-community \
    https://prometheus-community.github.io/helm-charts
  step "Prometheus (kube-prometheus-stack)" install_prometheus
  step "Prometheus is available" wait_for_prometheus
  install_release minikube
  step "App answers" wait_until 60 "the app to answer" minikube_app_answers
  if [ "$DRY_RUN" = yes ]; then return; fi
  say
  say "  $(minikube_app_answers)"
  verb_urls
}

# --- Minikube -----------------------------------------------------------------------------------

minikube_is_ours() { [ -e "$LOCAL_DIR/minikube-is-ours" ]; }

# Prints running, stopped or absent (85 is Minikube's exit code for a profile that does not exist).
minikube_state() {
  local code=0
  minikube status >/dev/null 2>&1 || code=$?
  case $code in
    0) echo running ;;
    85) echo absent ;;
    *) echo stopped ;;
  esac
}

start_minikube() {
  local state=absent
  if [ "$DRY_RUN" != yes ]; then state=$(minikube_state); fi
  if [ "$state" = running ]; then
    echo "it is already running"
    return
  fi
  # Recorded before the start, so that `down` also deletes a cluster that Ctrl-C left incomplete.
  if [ "$state" = absent ] && [ "$DRY_RUN" != yes ]; then touch "$LOCAL_DIR/minikube-is-ours"; fi
  if [ "$state" = absent ] || minikube_is_ours; then
    run minikube start "--memory=$MINIKUBE_MEMORY" "--kubernetes-version=$KUBERNETES_VERSION" \
      "--container-runtime=$MINIKUBE_RUNTIME" || explain_start
  else
    run minikube start || explain_start # with its own settings
  fi
}

explain_start() {
  if grep -E 'RSRC_|emory' "$STEP_LOG" >/dev/null 2>&1; then
    warn "To use less memory: MINIKUBE_MEMORY=3072 ./run.sh up --on minikube. To give Docker Desktop more: Settings, Resources."
  fi
  warn "For details: minikube logs"
  return 1
}

# minikube_app_image VERSION [NAME=VALUE of a build argument]
minikube_app_image() {
  if [ $# -gt 1 ]; then
    minikube_image "simple-app:$1" Dockerfile.app "$(build_option "build-arg" "VERSION=$1")" "$(build_option build-arg "$2")"
  else
    minikube_image "simple-app:$1" Dockerfile.app "$(build_option "build-arg" "VERSION=$1")"
  fi
}

# minikube_part_image TARGET NAME
minikube_part_image() {
  minikube_image "$2:$PARTS_VERSION" Dockerfile.controller "$(build_option target "$1")"
}

# minikube_image TAG DOCKERFILE BUILD_OPTION…: builds an image under its full name, because containerd does not
# normalize names and the kubelet looks for the full one.
minikube_image() {
  local tag=$1 file=$2
  shift 2
  run minikube image build --tag "docker.io/library/$tag" --file "$file" "$@" .
  # Some versions of Minikube exit with 0 although the build failed.
  if [ "$DRY_RUN" != yes ] && ! minikube image ls | grep -F -e "$tag" >/dev/null; then
    warn "the build produced no image $tag; see the lines above"
    return 1
  fi
}

# build_option NAME VALUE: prints a build option. Minikube passes options to the builder of the node's container
# runtime; buildctl of containerd has another syntax than docker and podman.
build_option() {
  case $(node_runtime) in
    containerd:*)
      case $1 in
        build-arg) printf '%s' "--build-opt=opt=build-arg:$2" ;;
        *) printf '%s' "--build-opt=opt=$1=$2" ;;
      esac
      ;;
    *) printf '%s' "--build-opt=$1=$2" ;;
  esac
}

node_runtime() {
  if [ "$DRY_RUN" = yes ]; then
    printf '%s' "$MINIKUBE_RUNTIME:"
  else
    k get nodes --output 'jsonpath={.items[0].status.nodeInfo.containerRuntimeVersion}'
  fi
}

# --- Istio and Prometheus -----------------------------------------------------------------------

# An existing Istio in a foreign Minikube remains unchanged.
istio_is_theirs() {
  [ "$DRY_RUN" != yes ] && ! minikube_is_ours && k get deployment istiod --namespace istio-system
}

install_istio() {
  if istio_is_theirs; then
    echo "istiod exists already"
    return
  fi
  with_pods istio-system run istioctl install --context "$MINIKUBE_PROFILE" --skip-confirmation \
    --set profile=default \
    --set 'components.egressGateways[0].name=istio-egressgateway' \
    --set 'components.egressGateways[0].enabled=true'
}

minikube_gateway_definitions() {
  if minikube_is_ours; then apply_gateway_definitions ours; else apply_gateway_definitions theirs; fi
}

# Without the article's egress gateway: no traffic here uses it, and in ambient mode a waypoint replaces it. The
# ingress is the Gateway in manifests/components/ambient.
install_ambient_istio() {
  if istio_is_theirs; then
    if [ -z "$(k get pods --all-namespaces --selector app=ztunnel --output name)" ]; then
      warn "the installed Istio does not run in ambient mode: no pod is labelled app=ztunnel. Either run ./run.sh down and"
      warn "./run.sh up --on minikube --profile sidecar, or enable ambient mode: istioctl install --set profile=ambient"
      return 1
    fi
    echo "istiod and ztunnel exist already"
    return
  fi
  set -- --set profile=ambient
  # With Docker, the pods' network namespaces are in a different place, where Istio's node agent must look for them.
  case $(node_runtime) in
    docker:*) set -- "$@" --set values.global.platform=minikube ;;
  esac
  with_pods istio-system run istioctl install --context "$MINIKUBE_PROFILE" --skip-confirmation "$@"
}

install_prometheus() {
  local state=
  if [ "$DRY_RUN" != yes ]; then state=$(prometheus_release); fi
  case $state in
    deployed)
      if ! minikube_is_ours; then
        echo "the Helm release prometheus exists already"
        return
      fi
      ;;
    # Left by a killed run. Helm would refuse to continue.
    pending-install) helm uninstall prometheus --kube-context "$MINIKUBE_PROFILE" --namespace monitoring --wait ;;
    pending-*) helm rollback prometheus --kube-context "$MINIKUBE_PROFILE" --namespace monitoring --wait ;;
  esac
  with_pods monitoring run helm upgrade --install prometheus \
    prometheus-community/kube-prometheus-stack --version "$KUBE_PROMETHEUS_STACK_CHART" \
    --kube-context "$MINIKUBE_PROFILE" --namespace monitoring --create-namespace \
    --set fullnameOverride=prometheus \
    --set prometheus.prometheusSpec.serviceMonitorSelectorNilUsesHelmValues=false \
    --set prometheus.prometheusSpec.podMonitorSelectorNilUsesHelmValues=false \
    --set prometheus.prometheusSpec.ruleSelectorNilUsesHelmValues=false \
    --wait --timeout 10m
}

# Prints the state of the Helm release, e.g. deployed or pending-install, or nothing if there is none.
prometheus_release() {
  helm status prometheus --kube-context "$MINIKUBE_PROFILE" --namespace monitoring --output json 2>/dev/null |
    sed -n 's/.*"status":"\([a-z-]*\)".*/\1/p' || true
}

# Helm waits only for its own objects. The operator creates Prometheus afterwards.
wait_for_prometheus() {
  with_pods monitoring k wait prometheus/prometheus-prometheus --namespace monitoring \
    --for condition=Available --timeout 5m
}

# Sends a request through the API server's proxy, which needs no port-forward. In ambient mode it uses the Gateway's
# Service.
# shellcheck disable=SC2329 # called by wait_until
minikube_app_answers() {
  local service=simple-app
  if is_ambient; then service=simple-app-istio; fi
  k get --raw "/api/v1/namespaces/default/services/$service:80/proxy/"
}

# --- down ---------------------------------------------------------------------------------------

# A Minikube that existed before is kept unless the user agrees to its deletion.
down_minikube() {
  if minikube_is_ours; then
    step "Delete the Minikube cluster" minikube delete
  elif agrees "Minikube profile $MINIKUBE_PROFILE existed before ./run.sh up. Delete it?"; then
    step "Delete the Minikube cluster" minikube delete
  else
    step "Remove app, load tester, controller, canary" remove_from_minikube
    say "  Minikube, Istio, Prometheus and the definitions of flagger.app were kept, because this Minikube existed"
    say "  before ./run.sh up. To delete it: minikube delete --profile $MINIKUBE_PROFILE"
  fi
  rm -f "$LOCAL_DIR/minikube-is-ours" "$LOCAL_DIR/kubeconfig" "$LOCAL_DIR/on" "$LOCAL_DIR/profile" "$STEP_LOG"
}

# The labels that refer to the waypoint are removed with it.
remove_from_minikube() {
  if is_ambient; then k label namespace default istio.io/use-waypoint- istio.io/ingress-use-waypoint-; fi
  k delete -k "manifests/overlays/$(overlay_of minikube)" --ignore-not-found
}
