# up --on local: the embedded cluster of this repository.
# shellcheck shell=bash

up_on_local() {
  if [ "$DRY_RUN" = yes ]; then fail "--dry-run requires --on minikube or --on current" 64; fi
  step "Tools: envoy, kubectl, prometheus" fetch_runtime_tools
  build_if_needed
  remember_kind local
  step "Cluster" start_cluster
  step "Images: simple-app, canary-controller, loadtester" build_local_images
  step "Custom resource definitions" apply_crds
  if is_ambient; then step "Namespace default in the mesh" join_ambient_mesh; fi
  step "App, load tester, controller, canary" apply_overlay local
  if is_ambient; then step "Waypoint and gateway are programmed" wait_for_gateways 60s waypoint simple-app; fi
  step "Controller and load tester are ready" wait_for_rollouts 60s
  step "Canary is initialized" wait_for_canary 60
  step "App answers" wait_until 30 "the app to answer on $(cluster_field ingress)" app_answers "$(cluster_field ingress)"
  say
  say "  $(app_answers "$(cluster_field ingress)")"
  verb_urls
  say
  say "  export KUBECONFIG=$LOCAL_DIR/kubeconfig"
  say "  ./run.sh release 1.0.1     # or: kubectl set image deployment/simple-app simple-app=simple-app:1.0.1"
}

# Fast if everything is built: cargo returns within a second.
build_if_needed() {
  step "Build the programs ($PROFILE profile)" build_programs
}

cluster_field() { localcluster status --state-dir "$STATE_DIR" --field "$1"; }
cluster_is_ready() { localcluster status --state-dir "$STATE_DIR"; }

start_cluster() {
  local pid
  if ! cluster_is_ready >/dev/null 2>&1; then
    mkdir -p "$LOCAL_DIR"
    # A new session, so that Ctrl-C in this terminal does not reach the cluster.
    setsid "$BIN_DIR/localcluster" up --state-dir "$STATE_DIR" \
      --ingress "${INGRESS:-127.0.0.1:8080}" --ingress-default simple-app.default \
      --envoy "$(command -v envoy)" --prometheus "$(command -v prometheus)" \
      >"$CLUSTER_LOG" 2>&1 </dev/null 3>&- 4>&- &
    pid=$!
    disown
    wait_until 60 "the cluster (log: $CLUSTER_LOG)" cluster_is_ready_or_gone "$pid"
    if ! cluster_is_ready; then
      cat "$CLUSTER_LOG"
      return 1
    fi
  fi
  cp "$(cluster_field kubeconfig)" "$LOCAL_DIR/kubeconfig.new"
  chmod 600 "$LOCAL_DIR/kubeconfig.new"
  mv "$LOCAL_DIR/kubeconfig.new" "$LOCAL_DIR/kubeconfig"
}

# cluster_is_ready_or_gone PID: ends the wait when the cluster is ready or its process has exited.
cluster_is_ready_or_gone() {
  cluster_is_ready || ! kill -0 "$1" 2>/dev/null
}
