# What --on minikube and --on current need: everything that is missing is reported at once.
# shellcheck shell=bash

MISSING=

missing() {
  MISSING="$MISSING
  $1"
}

# need_program NAME MIN WHERE COMMAND…: notes what is missing or too old; the command prints its version.
need_program() {
  local name=$1 wanted=$2 where=$3 found=
  shift 3
  if have "$name"; then
    found=$(version_of "$@") || found=
    if at_least "$wanted" "${found:-0}"; then return; fi
    found="found ${found:-one that does not say its version}, "
  fi
  missing "$name: ${found}needed $wanted or newer; get it from $where"
}

report_missing() {
  if [ -n "$MISSING" ]; then
    fail "this needs what is not here:$MISSING
Without any of it: ./run.sh up --on local"
  fi
}

need_kubectl() {
  need_program kubectl "$KUBECTL_MIN" https://kubernetes.io/docs/tasks/tools/ kubectl version --client
}

check_minikube_tools() {
  need_program minikube "$MINIKUBE_MIN" https://minikube.sigs.k8s.io/docs/start/ minikube version
  need_driver
  need_kubectl
  need_program istioctl "$ISTIOCTL_MIN" https://istio.io/latest/docs/setup/getting-started/ istioctl version --remote=false
  need_program helm "$HELM_MIN" https://helm.sh/docs/intro/install/ helm version --short
  report_missing
}

# Something that Minikube can put its node into. One that was chosen is Minikube's to judge, and so is a node that
# exists.
need_driver() {
  local name docker_says
  if [ -n "${MINIKUBE_DRIVER:-}" ]; then return; fi
  if have minikube; then
    if [ "$(minikube_state)" != absent ]; then return; fi
    if [ -n "$(minikube config get driver 2>/dev/null || true)" ]; then return; fi
  fi
  if have docker && docker_says=$(docker info --format '{{.MemTotal}} {{.NCPU}}' 2>&1); then
    need_room "${docker_says##*"
"}"
    return
  fi
  for name in podman virsh qemu-system-x86_64 qemu-system-aarch64 vfkit hyperkit VBoxManage prlctl; do
    if have "$name"; then return; fi
  done
  if have docker; then
    missing "docker: found, but it does not answer ($(printf '%s' "$docker_says" | tail -n 1)); start it, or: sudo usermod -aG docker \$USER"
  else
    missing "docker, or another driver of Minikube: found none; get it from https://docs.docker.com/get-docker/"
  fi
}

# need_room "BYTES CPUS": what Docker may use, which on a Mac is less than what the machine has.
need_room() {
  local memory=${1%% *} cpus=${1##* }
  case "$memory$cpus" in *[!0-9]* | '') return ;; esac
  memory=$((memory / 1048576))
  if [ "$memory" -lt "$MINIKUBE_MEMORY" ]; then
    missing "memory: docker has $memory MB, needed $MINIKUBE_MEMORY; raise it (Docker Desktop: Settings, Resources), or set MINIKUBE_MEMORY"
  fi
  if [ "$cpus" -lt 2 ]; then
    missing "processors: docker has $cpus, needed 2; raise it (Docker Desktop: Settings, Resources)"
  fi
}

# agrees QUESTION: whether the person in front says yes; without one the answer is no.
agrees() {
  local answer=
  if [ ! -t 0 ]; then return 1; fi
  printf '%s [y/N] ' "$1" >&3
  read -r answer || true
  case $answer in
    y | Y | yes | Yes) return 0 ;;
    *) return 1 ;;
  esac
}
