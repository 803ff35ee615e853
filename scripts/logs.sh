# logs NAME: prints the log of a component and follows it on a terminal.
# shellcheck shell=bash

verb_logs() {
  local follow=
  need_cluster
  if [ -t 1 ]; then follow=--follow; fi
  case ${1:-} in
    simple-app) pod_logs default app=simple-app-primary "$follow" ;;
    simple-app-canary) pod_logs default app=simple-app "$follow" ;;
    controller) pod_logs istio-system app.kubernetes.io/name=canary-controller "$follow" ;;
    loadtester) pod_logs default app=flagger-loadtester "$follow" ;;
    cluster)
      if [ "$(cluster_kind)" != local ]; then fail "only the local cluster has its own log"; fi
      cat "$CLUSTER_LOG"
      ;;
    *) fail "logs needs a name: simple-app, simple-app-canary, controller, loadtester or cluster" 64 ;;
  esac
}

pod_logs() {
  k logs --namespace "$1" --selector "$2" --prefix --tail 200 ${3:+"$3"}
}
