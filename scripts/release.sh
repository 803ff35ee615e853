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
  if [ "$(cluster_kind)" = current ]; then refuse_other_context; fi
  k set image deployment/simple-app "simple-app=$(image_prefix)simple-app:$version" --namespace default
  follow_release
}

# Where `up --on current` was told that the images are.
image_prefix() { cat "$LOCAL_DIR/images" 2>/dev/null || true; }

# A tag that nobody built would only show as pods that never start.
need_image() {
  local tags
  case $(cluster_kind) in
    local) tags=$(localcluster image ls --state-dir "$STATE_DIR" | sed -n 's|.*/simple-app:\([^ ]*\) .*|\1|p') ;;
    minikube) tags=$(minikube image ls | sed -n 's|.*/simple-app:\([^ ]*\)$|\1|p') ;;
    *) return ;; # any registry
  esac
  if ! printf '%s\n' "$tags" | grep -F -x -e "$1" >/dev/null; then
    fail "there is no image simple-app:$1; there are: $(printf '%s' "$tags" | tr '\n' ' ')"
  fi
}

# Exit code 0: promoted, 2: rolled back, 1: anything else.
follow_release() {
  if [ "$(cluster_kind)" = minikube ]; then
    # The view reads a kubeconfig; this one knows the one cluster alone.
    (umask 077 && k config view --minify --flatten >"$LOCAL_DIR/kubeconfig")
  fi
  if [ -e "$LOCAL_DIR/kubeconfig" ]; then export KUBECONFIG=$LOCAL_DIR/kubeconfig; fi
  if [ ! -x "$BIN_DIR/canary-controller" ] && have cargo; then
    step "Build the programs ($PROFILE profile)" build_programs
  fi
  if [ -x "$BIN_DIR/canary-controller" ]; then
    "$BIN_DIR/canary-controller" status simple-app --namespace default --watch --until-done
  else
    follow_with_kubectl
  fi
}

# For machines without Rust: the events as they come, until the condition says how it ended.
follow_with_kubectl() {
  local code=0 said
  # Not by way of k, whose process would not be kubectl's; KUBECONFIG says which cluster.
  kubectl get events --namespace default --watch-only --no-headers --field-selector involvedObject.kind=Canary \
    --output custom-columns=TYPE:.type,MESSAGE:.message &
  # shellcheck disable=SC2034 # ended by end_reporter, after Ctrl-C too
  REPORTER=$!
  disown
  # A release begins with the condition unknown and ends with True or False.
  said=$(k wait canary/simple-app --namespace default --for condition=Promoted=Unknown --timeout 60s 2>&1 &&
    until_promoted_or_not) || code=$?
  end_reporter
  if [ "$code" -ne 0 ]; then
    fail "the release was not noticed or did not end ($said); ./run.sh logs controller says more"
  fi
  case ${said##* } in
    True) say "simple-app.default was promoted." ;;
    *)
      say "simple-app.default was rolled back; the events above say why."
      exit 2
      ;;
  esac
}

# Prints True or False, the status of the condition at the end of the release.
until_promoted_or_not() {
  local answer
  while :; do
    answer=$(k get canary simple-app --namespace default \
      --output 'jsonpath={.status.conditions[?(@.type=="Promoted")].status}')
    case $answer in
      True | False)
        printf ' %s' "$answer"
        return
        ;;
    esac
    sleep 1
  done
}
