# lint: everything that can be said about the sources without running them.
# shellcheck shell=bash

verb_lint() {
  need_rust
  step "Formatting" cargo fmt --all --check
  step "Clippy" cargo clippy --workspace --all-targets --locked -- -D warnings
  step "Generated files are up to date" check_generated
  step "Shell scripts, Dockerfiles" lint_scripts
}

# manifests/base/crds.yaml is printed by the controller.
check_generated() {
  # All programs, as everywhere else: one package alone would want other features, so another build of its dependencies.
  build_programs
  "$BIN_DIR/canary-controller" crd >"$LOCAL_DIR/crds.yaml"
  diff -u manifests/base/crds.yaml "$LOCAL_DIR/crds.yaml" || {
    echo "write it again: cargo run -p controller --bin canary-controller -- crd > manifests/base/crds.yaml"
    return 1
  }
  rm "$LOCAL_DIR/crds.yaml"
}

lint_scripts() {
  fetch_linters
  shellcheck --external-sources run.sh scripts/*.sh .ci/run
  hadolint Dockerfile.app Dockerfile.controller
}
