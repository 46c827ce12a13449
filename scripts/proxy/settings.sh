# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154  # run_proxy.sh and launch.sh use the variables; run_proxy.sh defines root
# Sourced by run_proxy.sh: the server's settings, from the options, the environment or the last start.

app='' app_dir='' host=127.0.0.1 port=9999 workers='' python='' log_level='' debug=false counted=true interval=5
no_system=false
unix_socket='' uvicorn_options=()
directory=$PWD
start_timeout=${PROXY_START_TIMEOUT:-60}

# truth NAME VALUE: prints true or false.
truth() {
  case "${2,,}" in
    true | 1 | yes | on) echo true ;;
    false | 0 | no | off) echo false ;;
    *) usage_error "$1: '$2' is neither true nor false" ;;
  esac
}

# Accepts seconds with or without a fraction, but not zero.
check_seconds() {
  if ! [[ "$2" =~ ^([0-9]+\.?[0-9]*|\.[0-9]+)$ ]] || [[ "$2" =~ ^[0.]*$ ]]; then
    usage_error "$1: '$2' is not a number of seconds"
  fi
}

check_whole() {
  if ! [[ "$2" =~ ^[0-9]{1,9}$ ]] || [ "$2" -lt "$3" ] || [ "$2" -gt "$4" ]; then
    usage_error "$1: '$2' is not a number from $3 to $4"
  fi
}

read_environment() {
  [ -z "${DEBUG:-}" ] || debug=$(truth DEBUG "$DEBUG")
  [ -z "${ENABLE_CONCURRENCY_MONITOR:-}" ] || counted=$(truth ENABLE_CONCURRENCY_MONITOR "$ENABLE_CONCURRENCY_MONITOR")
  [ -z "${MONITOR_UPDATE_INTERVAL:-}" ] || interval=$MONITOR_UPDATE_INTERVAL
  [ -z "${MONITOR_NO_SYSTEM:-}" ] || no_system=$(truth MONITOR_NO_SYSTEM "$MONITOR_NO_SYSTEM")
}

# Rejects options that this script must know about; they go before the --.
take_uvicorn_options() {
  local previous='' word
  uvicorn_options=("$@")
  for word in "$@"; do
    case "$word" in
      --host* | --port* | --workers* | --app-dir* | --log-level*) usage_error "give ${word%%=*} before the --" ;;
      --fd | --fd=*) usage_error '--fd: descriptors are not passed on' ;;
      --uds=*) unix_socket=${word#*=} ;;
    esac
    [ "$previous" != --uds ] || unix_socket=$word
    previous=$word
  done
}

take_options() {
  local value
  while [ $# -gt 0 ]; do
    case "$1" in
      --) shift; take_uvicorn_options "$@"; return ;;
      --debug) debug=true; shift; continue ;;
      --no-system) no_system=true; shift; continue ;;
      --app=* | --app-dir=* | --host=* | --port=* | --workers=* | --python=* | --log-level=* | --monitor-interval=*)
        value=${1#*=}
        set -- "${1%%=*}" "$value" "${@:2}" ;;
      --app | --app-dir | --host | --port | --workers | --python | --log-level | --monitor-interval)
        [ $# -gt 1 ] || usage_error "$1 needs a value" ;;
      *) usage_error "unknown argument '$1'; uvicorn's own options go after --" ;;
    esac
    value=$2
    [ -n "$value" ] || usage_error "$1 needs a value"
    case "$1" in
      --app) app=$value ;;
      --app-dir) app_dir=$(realpath -m -- "$value") ;;
      --host) host=$value ;;
      --port) port=$value ;;
      --workers) workers=$value ;;
      --python) python=$value ;;
      --log-level) log_level=$value ;;
      --monitor-interval) interval=$value ;;
    esac
    shift 2
  done
}

# Completes the settings and checks them, before anything is stopped or started.
settle() {
  check_whole --port "$port" 0 65535
  [ -z "$workers" ] || check_whole --workers "$workers" 1 1000
  check_seconds --monitor-interval "$interval"
  case "$log_level" in
    '' | critical | error | warning | info | debug | trace) ;;
    *) usage_error "--log-level: '$log_level' is not one of critical, error, warning, info, debug, trace" ;;
  esac
  check_whole PROXY_START_TIMEOUT "$start_timeout" 1 86400
  if [ -z "$app" ]; then
    app=app:app
    app_dir=${app_dir:-$root/scripts/demo}
  fi
  app_dir=${app_dir:-$directory}
  [ -d "$app_dir" ] || fail 1 "--app-dir $app_dir is not a directory"
  [ -d "$directory" ] || fail 1 "$directory, where the server was started, is not a directory any more"
  case "$python" in
    /* | '') ;;
    */*) python=$PWD/$python ;;
    *) python=$(command -v -- "$python") || fail 1 "--python: there is no such program" ;;
  esac
  choose_python
}

# Stores the settings for restart, in the order that take_settings expects.
remember_settings() {
  state_words=("$app" "$app_dir" "$host" "$port" "$workers" "$python" "$log_level" "$debug" "$counted" "$interval"
    "$no_system" "${uvicorn_options[@]}")
}

# The kinds of log lines of the server started last.
remembered_kinds() {
  printf 'CONCURRENCY\nENDPOINTS\n'
  [ "${state_words[10]:-}" = true ] || printf 'SYSTEM\n'
}

take_settings() {
  app=$1 app_dir=$2 host=$3 port=$4 workers=$5 python=$6 log_level=$7 debug=$8 counted=$9 interval=${10}
  no_system=${11}
  shift 11
  take_uvicorn_options "$@"
}
