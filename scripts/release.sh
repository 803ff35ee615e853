# release VERSION: runs kubectl set image, then follows the release to its end.
# shellcheck shell=bash

verb_release() {
  local version=${1:-}
  case $version in
    '' | -*) fail "release needs a version, for example: ./run.sh release 1.0.1" 64 ;;
    *[!A-Za-z0-9._-]*) fail "'$version' is not a valid image tag" 64 ;;
  esac
  need_cluster
  need_image "$version"
  if [ "$(cluster_kind)" = current ]; then refuse_other_context; fi
  k set image deployment/simple-app "simple-app=$(image_prefix)simple-app:$version" --namespace default
  follow_release
}

# Prints the image prefix given to `up --on current`.
image_prefix() { cat "$LOCAL_DIR/images" 2>/dev/null || true; }

# Checks that the image exists. Otherwise the only symptom would be pods that never start.
need_image() {
  local tags
  case $(cluster_kind) in
    local) tags=$(localcluster image ls --state-dir "$STATE_DIR" | sed -n 's|.*/simple-app:\([^ ]*\) .*|\1|p') ;;
    minikube) tags=$(minikube image ls | sed -n 's|.*/simple-app:\([^ ]*\)$|\1|p') ;;
    *) return ;; # any registry
  esac
  if ! printf '%s\n' "$tags" | grep -F -x -e "$1" >/dev/null; then
    fail "image simple-app:$1 does not exist; available: $(printf '%s' "$tags" | tr '\n' ' ')"
  fi
}

# Exit code 0: promoted, 2: rolled back, 1: anything else.
follow_release() {
  if [ "$(cluster_kind)" = minikube ]; then
    # The live view reads a kubeconfig. This one contains only this cluster.
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

# For machines without Rust: prints events until the condition reports the result.
follow_with_kubectl() {
  local code=0 output
  # Calls kubectl directly, so that $! is its process. KUBECONFIG selects the cluster.
  kubectl get events --namespace default --watch-only --no-headers --field-selector involvedObject.kind=Canary \
    --output custom-columns=TYPE:.type,MESSAGE:.message &
  # shellcheck disable=SC2034 # ended by end_reporter, also after Ctrl-C
  REPORTER=$!
  disown
  # The condition is Unknown during a release and True or False afterwards.
  output=$(k wait canary/simple-app --namespace default --for condition=Promoted=Unknown --timeout 60s 2>&1 &&
    until_promoted_or_not) || code=$?
  end_reporter
  if [ "$code" -ne 0 ]; then
    fail "the release did not start or did not end ($output); see ./run.sh logs controller"
  fi
  case ${output##* } in
    True) say "simple-app.default was promoted." ;;
    *)
      say "simple-app.default was rolled back; see the events above for the reason."
      exit 2
      ;;
  esac
}

# Waits for the end of the release and prints the condition's status, True or False.
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
