# images: builds the images for the local cluster, or checks the Dockerfiles.
# shellcheck shell=bash

verb_images() {
  case ${1:-} in
    '')
      build_programs
      step "Images: simple-app, canary-controller, loadtester" build_local_images
      ;;
    --check) check_images ;;
    *) fail "unknown option $1; images accepts --check" 64 ;;
  esac
}

# Builds the images of the Dockerfiles without containers: with their own commands, for the target of their base
# image. Then starts them from an empty root. Takes minutes.
check_images() {
  local target
  need_linux
  need_rust
  target=$(uname -m)-unknown-linux-musl
  if [ ! -d "$(rustc --print target-libdir --target "$target")" ]; then
    fail "the Rust target $target, which the Dockerfiles build for, is not installed: rustup target add $target"
  fi
  need_command musl-gcc musl-tools
  cargo test --package e2e --locked --test stories images -- --ignored --nocapture
}

build_local_images() {
  app_image "$APP_VERSION"
  app_image 1.0.1
  app_image 1.0.2-slow --env "DELAY=4s+-500ms"
  app_image 1.0.3-errors --env ERROR_RATE=30%
  local_image "canary-controller:$PARTS_VERSION" canary-controller
  local_image "loadtester:$PARTS_VERSION" loadtester
}

# app_image VERSION [OPTIONS]: builds simple-app with the tag as the version that the app returns.
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
