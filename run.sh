#!/usr/bin/env bash
# The one entry point for people and for CI. `./run.sh --help` lists the verbs; each verb is a file
# in scripts/ with one function.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$ROOT"
# shellcheck source=scripts/lib.sh
. "$ROOT/scripts/lib.sh"

usage() {
  cat <<'TEXT'
usage: ./run.sh [VERB] [OPTIONS]

A cluster with a canary release in it
  up [--on local|minikube|current] [--profile sidecar|ambient] [--images PREFIX] [--dry-run]
                    brings up cluster, app and controller (the default verb; run it again to repair);
                    current is what kubectl points at, with the images that PREFIX leads to.
                    sidecar (the default): Istio's own routes, as in the article; ambient: routes of
                    the Gateway API, in a mesh without sidecars
  release VERSION   sets the app's image and follows the release; exit 0 promoted, 2 rolled back
  status            what runs where
  urls              where to look: the app, the rollout page, Prometheus, Envoy
  logs NAME         log of simple-app, controller, loadtester or cluster
  down              removes all that `up` made

Working on this repository
  tools             fetches envoy, kubectl, prometheus and linters into .local/bin
  build             builds the programs (PROFILE=release for the quick ones)
  images [--check]  puts the images that `up` needs into the cluster's image store; --check builds
                    those of the Dockerfiles without containers and runs them (takes minutes)
  chart             makes a Helm chart of the controller in target/chart
  lint              formatting, clippy, shellcheck, generated files
  test              tools, lint, then every test

Examples
  ./run.sh                          # from a fresh clone to an app that answers
  ./run.sh release 1.0.1            # a good version: promoted step by step
  ./run.sh release 1.0.2-slow       # answers after 4 s: rolled back, with the reason
  ./run.sh release 1.0.3-errors     # every third answer is an error: rolled back
  ./run.sh up --on minikube --dry-run
  ./run.sh up --profile ambient     # the same release, in a mesh without sidecars

Environment: LOCAL_DIR (.local), TOOLS_DIR (.local/bin), INGRESS (127.0.0.1:8080, or auto),
PROFILE (dev; cargo's, not the mesh's)
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
    fail "there is no verb $verb" 64
    ;;
esac
