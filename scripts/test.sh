# test: what CI runs. The test runner comes last, so that its closing lines end the output.
# shellcheck shell=bash

verb_test() {
  verb_tools
  verb_lint
  step "Build the programs ($PROFILE profile)" build_programs
  # Stories wait most of the time: half as many again at a time as there are cores.
  local cores
  cores=$(nproc)
  # Snapshots are compared here, never written.
  RUST_TEST_THREADS="${RUST_TEST_THREADS:-$((cores + (cores + 1) / 2))}" INSTA_UPDATE=no \
    cargo test --workspace --locked --no-fail-fast "$@"
}
