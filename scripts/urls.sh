# urls: prints the URLs of the app, the rollout page and the components.
# shellcheck shell=bash

verb_urls() {
  need_cluster
  case $(cluster_kind) in
    local)
      say "  app          $(cluster_field ingress)"
      say "  rollouts     $(rollouts_url "$(cluster_field ingress)")"
      say "  prometheus   $(cluster_field prometheus)"
      say "  envoy        $(cluster_field envoy-admin)"
      say "  api server   $(cluster_field api-server)"
      ;;
    *)
      if is_ambient; then
        say "  app          kubectl port-forward --namespace default service/simple-app-istio 8080:80   http://localhost:8080/"
      else
        say "  app          kubectl port-forward --namespace istio-system service/istio-ingressgateway 8080:80   http://localhost:8080/"
      fi
      say "  rollouts     kubectl port-forward --namespace istio-system service/canary-controller 8081:80   http://localhost:8081/"
      say "  prometheus   kubectl port-forward --namespace monitoring service/prometheus-prometheus 9090   http://localhost:9090/"
      ;;
  esac
}

# rollouts_url INGRESS: prints the URL of the rollout page, which the ingress selects by host name. Browsers and curl
# resolve all names below localhost to loopback, without DNS.
rollouts_url() {
  case $1 in
    http://127.0.0.1:* | http://0.0.0.0:* | 'http://[::'*) printf 'http://rollouts.localhost:%s' "${1##*:}" ;;
    *) printf '%s   (with the header "Host: rollouts.localhost")' "$1" ;;
  esac
}
