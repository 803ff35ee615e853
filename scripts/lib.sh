# Shared by all verbs: paths, steps, running commands, waiting.
# Restricted to bash 3.2 syntax, the version that macOS ships.
# shellcheck shell=bash

# Paths. Tests set LOCAL_DIR to a separate directory and share TOOLS_DIR.
LOCAL_DIR=${LOCAL_DIR:-$ROOT/.local}
TOOLS_DIR=${TOOLS_DIR:-$ROOT/.local/bin}
# shellcheck disable=SC2034 # used by the verbs
STATE_DIR=$LOCAL_DIR/cluster
# shellcheck disable=SC2034
CLUSTER_LOG=$LOCAL_DIR/localcluster.log
STEP_LOG=$LOCAL_DIR/step.log
PROFILE=${PROFILE:-dev}
TARGET_DIR=${CARGO_TARGET_DIR:-$ROOT/target}
case $PROFILE in
  dev) BIN_DIR=$TARGET_DIR/debug ;;
  *) BIN_DIR=$TARGET_DIR/$PROFILE ;;
esac

# shellcheck source=versions.env disable=SC1091
. "$ROOT/scripts/versions.env"

PATH=$TOOLS_DIR:$PATH
DRY_RUN=${DRY_RUN:-no}

# The output of a step goes to the step log. These descriptors still refer to the terminal.
exec 3>&1 4>&2

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }

# note MESSAGE: prints a note to the terminal and the step log during a step.
note() {
  if [ -t 3 ]; then printf '\r\033[K' >&3; fi
  printf '%s\n' "  note  $*" >&3
  printf '%s\n' "$*"
}

# fail MESSAGE [EXIT_CODE]: prints an error, which should name the next step, and exits.
fail() {
  warn "error: $1"
  exit "${2:-1}"
}

have() { command -v "$1" >/dev/null 2>&1; }

# --- Steps --------------------------------------------------------------------------------------
# step TITLE COMMAND…: runs a step and prints one line with its duration. The command's output goes to
# the step log. If the step fails, its output is printed and the script exits.

STEP_TITLE=
STEP_STARTED=0
TICKER=
REPORTER= # process that reports events of the cluster during a step
GO_ON= # hint printed after a failed step

# Prints seconds since a fixed point, with decimals if bash supports them.
now() { printf '%s' "${EPOCHREALTIME:-$SECONDS}" | tr , .; }
elapsed() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f s", b - a }'; }

step() {
  STEP_TITLE=$1
  shift
  if [ "$DRY_RUN" = yes ]; then
    say "# $STEP_TITLE"
    "$@"
    STEP_TITLE=
    return
  fi
  mkdir -p "$LOCAL_DIR"
  STEP_STARTED=$(now)
  show_progress &
  TICKER=$!
  disown # suppresses the shell's message when it is killed
  "$@" >"$STEP_LOG" 2>&1 </dev/null
  end_ticker
  printf '%s\n' "  ok    $STEP_TITLE ($(elapsed "$STEP_STARTED"))"
  STEP_TITLE=
}

# After two seconds, reports the step's progress every five seconds, or every second on a terminal.
show_progress() {
  local waited=0 every=5 last
  if [ -t 1 ]; then every=1; fi
  while :; do
    sleep 1 >/dev/null 2>&1 3>&- 4>&- # may outlive its parent by a second, so it must not hold a pipe open
    waited=$((waited + 1))
    if [ "$waited" -lt 2 ] || [ $((waited % every)) -ne 0 ]; then continue; fi
    last=$(tail -n 1 "$STEP_LOG" 2>/dev/null | tr -d '\r' | cut -c 1-80 || true)
    if [ -t 1 ]; then
      printf '\r\033[K  ...   %s (%s s) %s' "$STEP_TITLE" "$waited" "$last"
    else
      printf '  ...   %s (%s s) %s\n' "$STEP_TITLE" "$waited" "$last"
    fi
  done
}

# Uses KILL, because a child that was just forked still has the script's traps and would run them on TERM.
end_ticker() {
  if [ -z "$TICKER" ]; then return; fi
  kill -KILL "$TICKER" 2>/dev/null || true
  TICKER=
  if [ -t 3 ]; then printf '\r\033[K' >&3; fi
}

end_reporter() {
  if [ -n "$REPORTER" ]; then kill -KILL "$REPORTER" 2>/dev/null || true; fi
  REPORTER=
}

# Runs when the script exits for any reason, including Ctrl-C. Reports an unfinished step.
end_of_script() {
  local code=$?
  end_ticker
  end_reporter
  rm -rf "$TOOLS_DIR"/.*."$$" # partial downloads
  if [ "$code" -ne 0 ] && [ -n "$STEP_TITLE" ] && [ "$DRY_RUN" != yes ]; then
    printf '%s\n' "  FAIL  $STEP_TITLE ($(elapsed "$STEP_STARTED"))" >&3
    if [ -s "$STEP_LOG" ]; then
      tail -n 40 "$STEP_LOG" | sed 's/^/        /' >&4
      printf '%s\n' "        (exit code $code; complete output: $STEP_LOG)" >&4
    else
      printf '%s\n' "        (exit code $code, no output; to trace it: bash -x ./run.sh …)" >&4
    fi
    if [ -n "$GO_ON" ]; then printf '%s\n' "        $GO_ON" >&4; fi
  fi
  exit "$code"
}
trap end_of_script EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- Commands -----------------------------------------------------------------------------------

# run COMMAND…: runs the command, or prints it with --dry-run.
run() {
  if [ "$DRY_RUN" = yes ]; then
    quoted "$@"
  else
    "$@"
  fi
}

# Prints a command, quoted for the shell.
quoted() {
  local word line=
  for word in "$@"; do
    case $word in
      *[!A-Za-z0-9_./:=,@%+-]* | '') word="'$(printf '%s' "$word" | sed "s/'/'\\\\''/g")'" ;;
    esac
    line="$line${line:+ }$word"
  done
  say "$line"
}

# wait_until SECONDS WHAT COMMAND…: repeats the command until it succeeds or the time has passed.
wait_until() {
  local limit=$1 what=$2 deadline
  shift 2
  if [ "$DRY_RUN" = yes ]; then
    "$@"
    return
  fi
  deadline=$((SECONDS + limit))
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      warn "timed out after $limit s waiting for $what; last output:"
      "$@" >&2 || true
      return 1
    fi
    printf 'waiting for %s\n' "$what"
    sleep 0.1
  done
}

# at_least WANTED FOUND: compares dotted version numbers.
at_least() {
  [ "$(printf '%s\n%s\n' "$1" "$2" | sort -t . -k 1,1n -k 2,2n -k 3,3n | head -n 1)" = "$1" ]
}

# version_of COMMAND…: prints the first dotted number in the command's output, e.g. `version_of envoy --version`.
version_of() {
  "$@" 2>&1 | sed -n 's/^[^0-9]*\([0-9][0-9]*\.[0-9][0-9.]*\).*/\1/p' | sed -n 1p
}

# --- The current cluster ------------------------------------------------------------------------

# Prints the kind of cluster that `up` was last used on: local, minikube, current or nothing.
cluster_kind() { printf '%s' "${CLUSTER_KIND:-$(cat "$LOCAL_DIR/on" 2>/dev/null || true)}"; }

localcluster() { "$BIN_DIR/localcluster" "$@"; }

# kubectl for the cluster of `up`, never for any other.
k() {
  case $(cluster_kind) in
    local) run kubectl --kubeconfig "$LOCAL_DIR/kubeconfig" "$@" ;;
    minikube) run kubectl --context "$MINIKUBE_PROFILE" "$@" ;;
    *) run kubectl "$@" ;;
  esac
}

need_cluster() {
  if [ -z "$(cluster_kind)" ]; then
    fail "no cluster is up; start one with ./run.sh up" 1
  fi
}
