# Prerequisites of --on minikube and --on current. Everything that is missing is reported at once.
# shellcheck shell=bash

MISSING=

missing() {
  MISSING="$MISSING
  $1"
}

# need_program NAME MIN WHERE COMMAND…: records a missing or outdated program. The command prints its version.
need_program() {
  local name=$1 wanted=$2 where=$3 found=
  shift 3
  if have "$name"; then
    found=$(version_of "$@") || found=
    if at_least "$wanted" "${found:-0}"; then return; fi
    found="found ${found:-an unknown version}"
  fi
  missing "$name: ${found:-not found}; $wanted or newer is required, see $where"
}

report_missing() {
  if [ -n "$MISSING" ]; then
    fail "prerequisites are missing:$MISSING
The local cluster needs none of them: ./run.sh up --on local"
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

# Checks for a driver that Minikube can run its node with. An explicitly chosen driver and an existing node are left
# to Minikube.
need_driver() {
  local name docker_info
  if [ -n "${MINIKUBE_DRIVER:-}" ]; then return; fi
  if have minikube; then
    if [ "$(minikube_state)" != absent ]; then return; fi
    if [ -n "$(minikube config get driver 2>/dev/null || true)" ]; then return; fi
  fi
  if have docker && docker_info=$(docker info --format '{{.MemTotal}} {{.NCPU}}' 2>&1); then
    need_room "${docker_info##*"
"}"
    return
  fi
  for name in podman virsh qemu-system-x86_64 qemu-system-aarch64 vfkit hyperkit VBoxManage prlctl; do
    if have "$name"; then return; fi
  done
  if have docker; then
    missing "docker: the daemon does not respond ($(printf '%s' "$docker_info" | tail -n 1)); start it, or: sudo usermod -aG docker \$USER"
  else
    missing "docker or another Minikube driver: not found, see https://docs.docker.com/get-docker/"
  fi
}

# need_room "BYTES CPUS": checks Docker's limits, which on a Mac are below the host's.
need_room() {
  local memory=${1%% *} cpus=${1##* }
  case "$memory$cpus" in *[!0-9]* | '') return ;; esac
  memory=$((memory / 1048576))
  if [ "$memory" -lt "$MINIKUBE_MEMORY" ]; then
    missing "memory: Docker has $memory MB, $MINIKUBE_MEMORY MB are required; increase it (Docker Desktop: Settings, Resources) or set MINIKUBE_MEMORY"
  fi
  if [ "$cpus" -lt 2 ]; then
    missing "CPUs: Docker has $cpus, 2 are required; increase it (Docker Desktop: Settings, Resources)"
  fi
}

# agrees QUESTION: asks on the terminal. Without a terminal, the answer is no.
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
