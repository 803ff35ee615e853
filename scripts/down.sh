# down: removes everything that `up` created, and nothing else.
# shellcheck shell=bash

verb_down() {
  local kind
  kind=$(cluster_kind)
  case $kind in
    '') say "no cluster is up" ;;
    local) down_local ;;
    minikube) down_minikube ;;
    current) down_current ;;
  esac
}

# Keeps the fetched tools, which are not part of the cluster.
down_local() {
  if [ -x "$BIN_DIR/localcluster" ]; then
    step "Stop the cluster" localcluster stop --state-dir "$STATE_DIR"
  fi
  rm -rf "$STATE_DIR" "$LOCAL_DIR/kubeconfig" "$CLUSTER_LOG" "$STEP_LOG" "$LOCAL_DIR/on" "$LOCAL_DIR/profile"
}
