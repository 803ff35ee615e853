# images: puts what `up` deploys into the local cluster's image store.
# shellcheck shell=bash

verb_images() {
  build_programs
  step "Images: simple-app, canary-controller, loadtester" build_local_images
}

build_local_images() {
  app_image "$APP_VERSION"
  app_image 1.0.1
  app_image 1.0.2-slow --env "DELAY=4s+-500ms"
  app_image 1.0.3-errors --env ERROR_RATE=30%
  local_image "canary-controller:$PARTS_VERSION" canary-controller
  local_image "loadtester:$PARTS_VERSION" loadtester
}

# app_image VERSION [OPTIONS]: the tag decides the version that the app answers.
app_image() {
  local version=$1
  shift
  local_image "simple-app:$version" simple-app --env "VERSION=$version" "$@"
}

local_image() {
  local tag=$1 program=$2
  shift 2
  run localcluster image build --state-dir "$STATE_DIR" --tag "$tag" --from "$BIN_DIR/$program" "$@"
}
