# release VERSION: kubectl set image, then a live view to the end of the release.
# shellcheck shell=bash

verb_release() {
  local version=${1:-}
  case $version in
    '' | -*) fail "which version? For example: ./run.sh release 1.0.1" 64 ;;
    *[!A-Za-z0-9._-]*) fail "'$version' is no image tag" 64 ;;
  esac
  need_cluster
  need_image "$version"
  k set image deployment/simple-app "simple-app=simple-app:$version" --namespace default
  follow_release
}

# A tag that nobody built would only show as pods that never start.
need_image() {
  local tags
  if [ "$(cluster_kind)" != local ]; then return; fi
  tags=$(localcluster image ls --state-dir "$STATE_DIR" | sed -n 's|.*/simple-app:\([^ ]*\) .*|\1|p')
  if ! printf '%s\n' "$tags" | grep -F -x -e "$1" >/dev/null; then
    fail "there is no image simple-app:$1; there are: $(printf '%s' "$tags" | tr '\n' ' ')"
  fi
}

# Exit code 0: promoted, 2: rolled back, 1: anything else.
follow_release() {
  case $(cluster_kind) in
    local) KUBECONFIG=$LOCAL_DIR/kubeconfig watch_status ;;
    *) watch_status ;;
  esac
}

watch_status() {
  "$BIN_DIR/canary-controller" status simple-app --namespace default --watch --until-done
}
