# test: what CI runs. The test runner comes last, so that its closing lines end the output.
# shellcheck shell=bash

verb_test() {
  verb_tools
  verb_lint
  step "Build the programs ($PROFILE profile)" build_programs
  # Snapshots are compared here, never written.
  INSTA_UPDATE=no cargo test --workspace --locked --no-fail-fast "$@"
}
