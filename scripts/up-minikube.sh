# up --on minikube, --on current: Istio and kube-prometheus-stack on a cluster with containers.
# shellcheck shell=bash

up_on_minikube() {
  if [ "$DRY_RUN" != yes ]; then check_minikube_tools; fi
  remember_kind minikube
  step "Minikube" start_minikube
  step "Addon metrics-server" run minikube addons enable metrics-server
  step "Image simple-app:$APP_VERSION" minikube_app_image "$APP_VERSION"
  step "Image simple-app:1.0.1" minikube_app_image 1.0.1
  step "Image simple-app:1.0.2-slow" minikube_app_image 1.0.2-slow "DELAY=4s+-500ms"
  step "Image simple-app:1.0.3-errors" minikube_app_image 1.0.3-errors ERROR_RATE=30%
  step "Image canary-controller:$PARTS_VERSION" minikube_part_image controller "canary-controller:$PARTS_VERSION"
  step "Image loadtester:$PARTS_VERSION" minikube_part_image loadtester "loadtester:$PARTS_VERSION"
  install_platform
  install_release minikube
}

# Whatever kubectl points at. The images must be where its nodes can pull them, so they are not
# built here.
up_on_current() {
  if [ "$DRY_RUN" != yes ]; then
    need_program kubectl "$KUBECTL_MIN" "kubectl version --client" https://kubernetes.io/docs/tasks/tools/
    report_missing
    say "  kubectl context: $(kubectl config current-context)"
  fi
  remember_kind current
  install_release minikube
}

start_minikube() {
  if [ "$DRY_RUN" = yes ] || ! minikube status >/dev/null 2>&1; then
    run minikube start "--memory=$MINIKUBE_MEMORY"
    if [ "$DRY_RUN" != yes ]; then touch "$LOCAL_DIR/minikube-is-ours"; fi
  fi
}

# minikube_app_image VERSION [NAME=VALUE of a build argument]
minikube_app_image() {
  if [ $# -gt 1 ]; then
    run minikube image build --tag "simple-app:$1" --file Dockerfile.app \
      --build-opt "build-arg=VERSION=$1" --build-opt "build-arg=$2" .
  else
    run minikube image build --tag "simple-app:$1" --file Dockerfile.app \
      --build-opt "build-arg=VERSION=$1" .
  fi
}

minikube_part_image() {
  run minikube image build --tag "$2" --file Dockerfile.controller --build-opt "target=$1" .
}

install_platform() {
  step "Istio with ingress and egress gateway" run istioctl install --skip-confirmation \
    --set profile=default \
    --set 'components.egressGateways[0].name=istio-egressgateway' \
    --set 'components.egressGateways[0].enabled=true'
  step "Sidecars in namespace default" k label namespace default istio-injection=enabled --overwrite
  step "Helm repository prometheus-community" run helm repo add --force-update prometheus-community \
    https://prometheus-community.github.io/helm-charts
  step "Prometheus (kube-prometheus-stack)" run helm upgrade --install prometheus \
    prometheus-community/kube-prometheus-stack --version "$KUBE_PROMETHEUS_STACK_CHART" \
    --namespace monitoring --create-namespace \
    --set fullnameOverride=prometheus \
    --set prometheus.prometheusSpec.serviceMonitorSelectorNilUsesHelmValues=false \
    --set prometheus.prometheusSpec.podMonitorSelectorNilUsesHelmValues=false \
    --wait --timeout 10m
}

install_release() {
  step "Custom resource definitions" apply_missing_crds
  step "App, load tester, controller, canary" apply_overlay "$1"
  step "Controller and load tester are ready" wait_for_rollouts 5m
  step "Canary is initialized" wait_for_canary 300
  say
  verb_urls_unless_dry
}

# Definitions that are there already may be another installation's, and newer: they are left.
apply_missing_crds() {
  if [ "$DRY_RUN" != yes ] && k get customresourcedefinition canaries.flagger.app metrictemplates.flagger.app; then
    echo "the definitions are there already"
    return
  fi
  apply_crds
}

verb_urls_unless_dry() {
  if [ "$DRY_RUN" != yes ]; then verb_urls; fi
}

# --- What must be there -------------------------------------------------------------------------

MISSING=

# need_program NAME MIN COMMAND WHERE: notes what is missing or too old; all is reported at once.
need_program() {
  local name=$1 wanted=$2 command=$3 where=$4 found=
  if have "$name"; then
    # shellcheck disable=SC2086 # the command is several words
    found=$(version_of $command)
    if at_least "$wanted" "${found:-0}"; then return; fi
    found="found ${found:-no version}, "
  fi
  MISSING="$MISSING
  $name: ${found}needed $wanted or newer; get it from $where"
}

report_missing() {
  if [ -n "$MISSING" ]; then
    fail "this needs programs that are not here:$MISSING
Without them: ./run.sh up --on local"
  fi
}

check_minikube_tools() {
  need_program minikube "$MINIKUBE_MIN" "minikube version" https://minikube.sigs.k8s.io/docs/start/
  need_program kubectl "$KUBECTL_MIN" "kubectl version --client" https://kubernetes.io/docs/tasks/tools/
  need_program istioctl "$ISTIOCTL_MIN" "istioctl version --remote=false" https://istio.io/latest/docs/setup/getting-started/
  need_program helm "$HELM_MIN" "helm version --short" https://helm.sh/docs/intro/install/
  report_missing
}

# --- down ---------------------------------------------------------------------------------------

# A Minikube that was there before is given back as it was found: only what `up` installed goes.
down_minikube() {
  if [ -e "$LOCAL_DIR/minikube-is-ours" ]; then
    step "Delete the Minikube cluster" minikube delete
  else
    step "Remove app, load tester, controller, canary" k delete -k manifests/overlays/minikube --ignore-not-found
    say "  Minikube, Istio, Prometheus and the definitions of flagger.app were left: this Minikube was"
    say "  running before ./run.sh up"
  fi
  rm -f "$LOCAL_DIR/minikube-is-ours" "$LOCAL_DIR/on" "$STEP_LOG"
}

down_current() {
  step "Remove app, load tester, controller, canary" k delete -k manifests/overlays/minikube --ignore-not-found
  rm -f "$LOCAL_DIR/on" "$STEP_LOG"
}
