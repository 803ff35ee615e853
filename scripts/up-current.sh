# up --on current: the cluster of kubectl's current context. Its nodes pull the images from a registry, so they are
# not built here.
# shellcheck shell=bash

# Generated kustomization: manifests/overlays/cluster or cluster-ambient with this cluster's images.
CURRENT_OVERLAY=$LOCAL_DIR/overlay

up_on_current() {
  if [ "$DRY_RUN" = yes ]; then
    choose_images
  else
    need_kubectl
    report_missing
    refuse_other_context
    choose_images
    say "  kubectl context: $(current_context)"
    need_platform
    remember_context
  fi
  remember_kind current
  step "Overlay: images from ${IMAGES:-the nodes themselves}" write_overlay
  install_release current
  if [ "$DRY_RUN" = yes ]; then return; fi
  say
  verb_urls
}

current_context() { kubectl config current-context 2>/dev/null || fail "kubectl has no current context; choose one: kubectl config use-context NAME"; }

# Repairs and removals must use the context that the objects were created in.
refuse_other_context() {
  local now before
  now=$(current_context)
  before=$(cat "$LOCAL_DIR/context" 2>/dev/null || printf '%s' "$now")
  if [ "$now" != "$before" ]; then
    fail "./run.sh up used context $before, but kubectl now points at $now; switch back: kubectl config use-context $before"
  fi
}

remember_context() {
  mkdir -p "$LOCAL_DIR"
  current_context >"$LOCAL_DIR/context"
  printf '%s\n' "$IMAGES" >"$LOCAL_DIR/images"
}

# Sets the prefix of the images. Without --images, uses the one of the previous `up`.
choose_images() {
  if [ -z "${IMAGES+given}" ]; then
    if [ ! -e "$LOCAL_DIR/images" ]; then refuse_without_images; fi
    IMAGES=$(cat "$LOCAL_DIR/images")
  fi
  case $IMAGES in
    *[!A-Za-z0-9._:/-]*) fail "'$IMAGES' is not a valid image prefix; use one such as registry.example.com/team/" 64 ;;
    '' | */) ;;
    *) IMAGES=$IMAGES/ ;;
  esac
}

refuse_without_images() {
  local tag
  warn "error: --images is required, as the cluster pulls its images from a registry. Build and push these:"
  for tag in "$APP_VERSION" 1.0.1; do
    warn "  docker build --file Dockerfile.app --build-arg VERSION=$tag --tag PREFIX/simple-app:$tag ."
  done
  warn "  docker build --file Dockerfile.controller --target controller --tag PREFIX/canary-controller:$PARTS_VERSION ."
  warn "  docker build --file Dockerfile.controller --target loadtester --tag PREFIX/loadtester:$PARTS_VERSION ."
  warn "then pass their prefix:"
  warn "  ./run.sh up --on current --images registry.example.com/team/"
  warn "If the nodes already have the images (kind load docker-image, minikube image build): --images ''"
  exit 64
}

# Writes the kustomization with the settings of this cluster.
write_overlay() {
  run mkdir -p "$CURRENT_OVERLAY"
  if [ "$DRY_RUN" = yes ]; then
    say "cat >$CURRENT_OVERLAY/kustomization.yaml <<'YAML'"
    overlay_text "$(root_from "$CURRENT_OVERLAY")"
    say "YAML"
    return
  fi
  overlay_text "$(root_from "$(cd "$CURRENT_OVERLAY" && pwd -P)")" >"$CURRENT_OVERLAY/kustomization.yaml"
}

# root_from FOLDER: prints the relative path to this repository, because kustomize rejects absolute paths.
root_from() { printf '%s%s/' "$(printf '%s\n' "$1" | sed 's|/[^/]*|../|g')" "${ROOT#/}"; }

# overlay_text PATH_TO_THIS_REPOSITORY
overlay_text() {
  local name
  say "apiVersion: kustomize.config.k8s.io/v1beta1"
  say "kind: Kustomization"
  say "resources:"
  say "  - $1manifests/overlays/$(overlay_of cluster)"
  if [ -n "$IMAGES" ]; then
    say "images:"
    for name in canary-controller loadtester simple-app; do
      say "  - name: $name"
      say "    newName: $IMAGES$name"
    done
  fi
}

# Checks for Istio and the Prometheus Operator. Reports everything that is missing before anything is changed.
need_platform() {
  local istio="Istio: https://istio.io/latest/docs/setup/install/"
  local ambient="Istio's ambient mode: https://istio.io/latest/docs/ambient/install/"
  local operator="the Prometheus Operator: https://prometheus-operator.dev"
  need_object namespace/istio-system "$istio"
  if is_ambient; then
    need_object customresourcedefinition/httproutes.gateway.networking.k8s.io \
      "the Gateway API: https://gateway-api.sigs.k8s.io/guides/"
    need_object gatewayclass/istio-waypoint "$ambient"
  else
    need_object customresourcedefinition/virtualservices.networking.istio.io "$istio"
  fi
  need_object namespace/monitoring "$operator"
  need_object customresourcedefinition/podmonitors.monitoring.coreos.com "$operator"
  need_object customresourcedefinition/prometheusrules.monitoring.coreos.com "$operator"
  if [ -n "$MISSING" ]; then
    fail "the cluster of context $(current_context) lacks:$MISSING
The controller alone has fewer prerequisites: kubectl apply -k manifests/controller"
  fi
  if is_ambient; then note_ambient_labels; else note_injection; fi
}

note_injection() {
  local injected
  injected=$(kubectl get namespace default \
    --output 'jsonpath={.metadata.labels.istio-injection}{.metadata.labels.istio\.io/rev}')
  if [ -z "$injected" ]; then
    say "  note  pods in namespace default get no sidecar; to enable injection:"
    say "        kubectl label namespace default istio-injection=enabled"
  fi
}

note_ambient_labels() {
  local mode waypoint
  mode=$(kubectl get namespace default --output 'jsonpath={.metadata.labels.istio\.io/dataplane-mode}')
  waypoint=$(kubectl get namespace default --output 'jsonpath={.metadata.labels.istio\.io/use-waypoint}')
  if [ "$mode" != ambient ] || [ "$waypoint" != waypoint ]; then
    say "  note  requests in namespace default bypass the waypoint, which applies the weights; to route them through it:"
    say "        kubectl label namespace default $(ambient_labels | tr '\n' ' ')"
  fi
}

# need_object TYPE/NAME WHERE
need_object() {
  if ! kubectl get "$1" --output name >/dev/null 2>&1; then missing "$1, which comes with $2"; fi
}

# Applies objects that do not exist yet or that an earlier run created. Other objects remain unchanged. The applied
# objects are recorded in .local/made, from which `down` removes them.
apply_what_is_missing() {
  local file name there left=
  if [ "$DRY_RUN" = yes ]; then
    run kubectl kustomize "$CURRENT_OVERLAY"
    say "# and for each of these objects that does not exist yet or was created by an earlier run:"
    run kubectl apply -f OBJECT
    return
  fi
  mkdir -p "$LOCAL_DIR/made" "$LOCAL_DIR/wanted"
  rm -f "$LOCAL_DIR/wanted"/*
  k kustomize "$CURRENT_OVERLAY" | awk -v dir="$LOCAL_DIR/wanted" '
    BEGIN { file = sprintf("%s/%03d.yaml", dir, ++n) }
    /^---$/ { close(file); file = sprintf("%s/%03d.yaml", dir, ++n); next }
    { print >file }'
  for file in "$LOCAL_DIR/wanted"/*.yaml; do
    name=$(object_name "$file")
    if [ ! -e "$LOCAL_DIR/made/$name" ]; then
      there=$(k get --ignore-not-found --output name -f "$file")
      if [ -n "$there" ]; then
        left="$left $there"
        continue
      fi
    fi
    # Record the object before applying it, so that `down` also removes it after Ctrl-C.
    cp "$file" "$LOCAL_DIR/made/$name"
    k apply -f "$file"
  done
  rm -rf "$LOCAL_DIR/wanted"
  if [ -n "$left" ]; then note "unchanged, because they already existed:$left"; fi
}

# object_name FILE: prints kind, namespace and name as a file name.
object_name() {
  awk '
    /^kind: / { kind = $2 }
    /^[a-z]/ { inside = ($1 == "metadata:") }
    inside && /^  name: / { name = $2 }
    inside && /^  namespace: / { namespace = $2 }
    END { gsub(/"/, "", name); print kind "." (namespace ? namespace "." : "") name }' "$1"
}

# Keeps the definitions of flagger.app, as deleting them would delete other canaries.
down_current() {
  refuse_other_context
  step "Remove the objects of ./run.sh up" remove_what_was_made
  say "  The definitions of flagger.app were kept"
  rm -rf "$LOCAL_DIR/made" "$CURRENT_OVERLAY" "$LOCAL_DIR/context" "$LOCAL_DIR/images" "$LOCAL_DIR/on" "$LOCAL_DIR/profile" "$STEP_LOG"
}

# In the order of the kinds' names, so that the Canary is deleted first.
remove_what_was_made() {
  local file
  for file in "$LOCAL_DIR/made"/*; do
    if [ -e "$file" ]; then k delete --ignore-not-found -f "$file"; fi
  done
}
