# chart: creates a Helm chart of the controller from the kustomizations in manifests/.
# shellcheck shell=bash

CHART=$TARGET_DIR/chart/canary-controller

verb_chart() {
  need_tool kubectl "$KUBECTL_MIN" fetch_kubectl >/dev/null
  step "Chart" build_chart
  say "  in    $CHART"
  say "  helm install canary-controller $CHART --namespace istio-system --set image.repository=registry.example.com/team/canary-controller"
}

build_chart() {
  rm -rf "$CHART"
  mkdir -p "$CHART/templates" "$CHART/crds"
  cp manifests/chart/Chart.yaml manifests/chart/values.yaml "$CHART/"
  cp manifests/controller/crds.yaml "$CHART/crds/"
  chart_template all-namespaces 'if not .Values.namespaced'
  chart_template one-namespace 'if .Values.namespaced'
  chart_template secret-copies 'range .Values.secretCopies'
  chart_template monitoring 'if .Values.monitoring.enabled'
}

# chart_template NAME CONDITION: renders manifests/chart/NAME and replaces the placeholders by Helm expressions.
# Existing {{ … }} belong to Prometheus and Grafana, so they are escaped.
chart_template() {
  {
    printf '{{- %s }}\n---\n' "$2"
    kubectl kustomize "manifests/chart/$1" | sed \
      -e 's/{{/{{ "{{" }}/g' \
      -e 's/VALUES\.\([A-Za-z.]*\)/{{ $.Values.\1 }}/g' \
      -e 's/JSON\.\([A-Za-z.]*\)/{{ toJson $.Values.\1 }}/g' \
      -e 's/RELEASE-NAMESPACE/{{ $.Release.Namespace }}/g' \
      -e 's/ITEM$/{{ . }}/' \
      -e 's|monitoring/canary-controller|{{ $.Values.monitoring.namespace }}/canary-controller|g'
    printf '{{- end }}\n'
  } >"$CHART/templates/$1.yaml"
}
