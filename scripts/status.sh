# status: prints cluster, canaries, pods and URLs.
# shellcheck shell=bash

verb_status() {
  need_cluster
  say "Cluster: $(cluster_kind), profile $(mesh_profile)"
  if [ "$(cluster_kind)" = local ]; then
    if ! cluster_is_ready >/dev/null 2>&1; then
      fail "the local cluster is not running; start it again with ./run.sh up"
    fi
    say "Process: $(cluster_field pid), log $CLUSTER_LOG"
  fi
  say
  k get canaries --all-namespaces
  say
  k get pods --all-namespaces --output wide
  say
  verb_urls
}
