# urls: where to look.
# shellcheck shell=bash

verb_urls() {
  need_cluster
  case $(cluster_kind) in
    local)
      say "  app          $(cluster_field ingress)"
      say "  prometheus   $(cluster_field prometheus)"
      say "  envoy        $(cluster_field envoy-admin)"
      say "  api server   $(cluster_field api-server)"
      ;;
    *)
      say "  app          kubectl port-forward --namespace istio-system service/istio-ingressgateway 8080:80   http://localhost:8080/"
      say "  prometheus   kubectl port-forward --namespace monitoring service/prometheus-prometheus 9090   http://localhost:9090/"
      ;;
  esac
}
