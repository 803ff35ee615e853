# lint: static checks.
# shellcheck shell=bash

verb_lint() {
  need_rust
  step "Formatting" cargo fmt --all --check
  step "Clippy" cargo clippy --workspace --all-targets --locked -- -D warnings
  step "Generated files are up to date" check_generated
  step "Shell scripts, Dockerfiles" lint_scripts
}

# manifests/controller/crds.yaml is the output of `canary-controller crd`.
check_generated() {
  # Builds all programs: a single package would enable other features and thus rebuild the dependencies.
  build_programs
  "$BIN_DIR/canary-controller" crd >"$LOCAL_DIR/crds.yaml"
  diff -u manifests/controller/crds.yaml "$LOCAL_DIR/crds.yaml" || {
    echo "to update it: cargo run -p controller --bin canary-controller -- crd > manifests/controller/crds.yaml"
    return 1
  }
  rm "$LOCAL_DIR/crds.yaml"
}

lint_scripts() {
  fetch_linters
  shellcheck --external-sources run.sh scripts/*.sh .ci/run
  check_bash_32
  hadolint Dockerfile.app Dockerfile.controller
}

# macOS ships bash 3.2, and shellcheck cannot check for a bash version.
check_bash_32() {
  local found
  found=$(grep -n -E -f scripts/newer-than-bash-3.2.txt run.sh scripts/*.sh || true)
  if [ -n "$found" ]; then
    printf '%s\n' "$found"
    fail "these lines require a newer bash than 3.2, the version of macOS; scripts/newer-than-bash-3.2.txt lists what to avoid"
  fi
}
