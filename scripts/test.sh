# test: runs everything that CI runs. The tests come last, so that their summary ends the output.
# shellcheck shell=bash

verb_test() {
  verb_tools
  verb_lint
  step "Build the programs ($PROFILE profile)" build_programs
  # The stories mostly wait, so run 1.5 times as many in parallel as there are cores.
  local cores
  cores=$(nproc)
  # Compare snapshots, but never write them.
  RUST_TEST_THREADS="${RUST_TEST_THREADS:-$((cores + (cores + 1) / 2))}" INSTA_UPDATE=no \
    cargo test --workspace --locked --no-fail-fast "$@"
}
