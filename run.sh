#!/usr/bin/env bash
# The entry point for people and for CI. `./run.sh --help` lists the verbs. Each verb is a function in
# its own file in scripts/.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$ROOT"
# shellcheck source=scripts/lib.sh
. "$ROOT/scripts/lib.sh"

usage() {
  cat <<'TEXT'
usage: ./run.sh [VERB] [OPTIONS]

Cluster and releases
  up [--on local|minikube|current] [--profile sidecar|ambient] [--images PREFIX] [--dry-run]
                    starts cluster, app and controller (the default verb; run it again to repair).
                    --on current uses kubectl's current context and pulls images from PREFIX.
                    --profile sidecar (the default) uses Istio's own routes, as in the article;
                    --profile ambient uses routes of the Gateway API, in a mesh without sidecars
  release VERSION   sets the app's image and follows the release; exit code 0: promoted,
                    2: rolled back
  status            prints cluster, canaries, pods and URLs
  urls              prints the URLs of the app, the rollout page, Prometheus and Envoy
  logs NAME         prints the log of simple-app, simple-app-canary, controller, loadtester or cluster
  down              removes everything that `up` created

Development
  tools             fetches envoy, kubectl, prometheus and linters into .local/bin
  build             builds the programs (PROFILE=release for optimized ones)
  images [--check]  builds the images that `up` needs into the cluster's image store; --check builds
                    and runs those of the Dockerfiles without containers (takes minutes)
  chart             creates a Helm chart of the controller in target/chart
  lint              checks formatting, clippy, shellcheck and generated files
  test              runs tools, lint and all tests

Examples
  ./run.sh                          # from a fresh clone to a running app
  ./run.sh release 1.0.1            # a good version: promoted step by step
  ./run.sh release 1.0.2-slow       # responds after 4 s: rolled back, with the reason
  ./run.sh release 1.0.3-errors     # fails 30 % of requests: rolled back
  ./run.sh up --on minikube --dry-run
  ./run.sh up --profile ambient     # the same release, in a mesh without sidecars

Environment: LOCAL_DIR (.local), TOOLS_DIR (.local/bin), INGRESS (127.0.0.1:8080, or auto),
PROFILE (dev; the Cargo profile, not that of the mesh)
TEXT
}

verb=${1:-up}
if [ $# -gt 0 ]; then shift; fi
case $verb in
  up | release | status | urls | logs | down | tools | build | images | chart | lint | test)
    # shellcheck source=/dev/null
    for file in "$ROOT"/scripts/*.sh; do
      if [ "${file##*/}" != lib.sh ]; then . "$file"; fi
    done
    "verb_$verb" "$@"
    ;;
  --on | --profile | --images | --dry-run)
    exec "$ROOT/run.sh" up "$verb" "$@"
    ;;
  -h | --help | help) usage ;;
  *)
    usage >&2
    fail "unknown verb: $verb" 64
    ;;
esac
