# up --on current: whatever kubectl points at. The images must be where its nodes can pull them, so they are not
# built here.
# shellcheck shell=bash

CURRENT_OVERLAY=manifests/overlays/minikube

up_on_current() {
  if [ "$DRY_RUN" != yes ]; then
    need_kubectl
    report_missing
    say "  kubectl context: $(current_context)"
    refuse_other_context
  fi
  remember_kind current
  install_release current
  if [ "$DRY_RUN" = yes ]; then return; fi
  say
  verb_urls
}

current_context() { kubectl config current-context 2>/dev/null || fail "kubectl has no current context; choose one: kubectl config use-context NAME"; }

# What was made on one cluster is repaired and removed on that one only.
refuse_other_context() {
  local now before
  now=$(current_context)
  before=$(cat "$LOCAL_DIR/context" 2>/dev/null || printf '%s' "$now")
  if [ "$now" != "$before" ]; then
    fail "./run.sh up was used on context $before, kubectl now points at $now: kubectl config use-context $before"
  fi
  mkdir -p "$LOCAL_DIR"
  printf '%s\n' "$now" >"$LOCAL_DIR/context"
}

# Applies what is not there yet and what an earlier run made; objects of others are left as they are. Each object
# that this made is kept in .local/made, from which `down` removes it.
apply_what_is_missing() {
  local file name there left=
  if [ "$DRY_RUN" = yes ]; then
    run kubectl kustomize "$CURRENT_OVERLAY"
    say "# and for each of these objects that is not there yet, or that an earlier run made:"
    run kubectl apply -f OBJECT
    return
  fi
  mkdir -p "$LOCAL_DIR/made" "$LOCAL_DIR/wanted"
  rm -f "$LOCAL_DIR/wanted"/*
  k kustomize "$CURRENT_OVERLAY" | awk -v dir="$LOCAL_DIR/wanted" '
    BEGIN { file = sprintf("%s/%03d.yaml", dir, ++n) }
    /^---$/ { close(file); file = sprintf("%s/%03d.yaml", dir, ++n); next }
    { print >file }'
  for file in "$LOCAL_DIR/wanted"/*.yaml; do
    name=$(object_name "$file")
    if [ ! -e "$LOCAL_DIR/made/$name" ]; then
      there=$(k get --ignore-not-found --output name -f "$file")
      if [ -n "$there" ]; then
        left="$left $there"
        continue
      fi
    fi
    # Before it is applied: one that Ctrl-C leaves half made is ours too.
    cp "$file" "$LOCAL_DIR/made/$name"
    k apply -f "$file"
  done
  rm -rf "$LOCAL_DIR/wanted"
  if [ -n "$left" ]; then note "left as they are, because they were there before:$left"; fi
}

# object_name FILE: kind, namespace and name as one word that is a file name.
object_name() {
  awk '
    /^kind: / { kind = $2 }
    /^[a-z]/ { inside = ($1 == "metadata:") }
    inside && /^  name: / { name = $2 }
    inside && /^  namespace: / { namespace = $2 }
    END { gsub(/"/, "", name); print kind "." (namespace ? namespace "." : "") name }' "$1"
}

# The definitions of flagger.app stay: with them would go the canaries of others.
down_current() {
  refuse_other_context
  step "Remove what ./run.sh up made" remove_what_was_made
  say "  The definitions of flagger.app were left"
  rm -rf "$LOCAL_DIR/made" "$LOCAL_DIR/context" "$LOCAL_DIR/on" "$STEP_LOG"
}

# In the order of their kinds' names, so that the Canary goes first.
remove_what_was_made() {
  local file
  for file in "$LOCAL_DIR/made"/*; do
    if [ -e "$file" ]; then k delete --ignore-not-found -f "$file"; fi
  done
}
