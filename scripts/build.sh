# build: builds the programs, without those that only tests need.
# shellcheck shell=bash

verb_build() {
  need_rust
  step "Build the programs ($PROFILE profile)" build_programs
}

build_programs() {
  run cargo build --profile "$PROFILE" --locked \
    --package simple-app --package loadtester --package controller --package localcluster
}
