#!/usr/bin/env bash
# From nothing to a locked Kubernetes cluster, and back. Builds what is missing, then hands over to target/debug/strata.
#
# Usage:
#   ./bootstrap.sh [up|plan|preflight|status|node|destroy|kubeconfig|capture|kit|backup|restore|adopt|store|unlock|explain] [-c FILE] [--set key=value]... [--yes[=NAME]] [--all] [--on-failure resume|rollback]
#
#   up           bring the cluster up, or go on where the last run stopped (default)
#   plan         show what `up` would change
#   preflight    check everything, change nothing
#   status       show what is there now
#   node         list; add NAME... --role worker|control-plane [--offer X] [--zone Z]; remove NAME...; replace NAME;
#                ssh-open NAME [--for 30m]; rescue NAME
#   destroy      take the cluster down; --all also takes layer 00 (PKI, keys)
#   kubeconfig   write a kubeconfig, valid for 7 days
#   capture      take the keys of a sealed-secrets controller that made its own into the store
#   kit          write a recovery kit: --to FILE; put one back: kit restore FILE [--overwrite]
#   backup       take a snapshot of etcd now
#   restore      begin a lost cluster again from a snapshot of etcd, with the next up: restore SNAPSHOT
#   adopt        rebuild lost state from the store and the platform's marks; makes nothing
#   store        list | add-recipient AGE1...: names of the secrets; one more person who can read them
#   unlock       release the init claim of a run that is over [--run ID]
#   explain      print a field of the cluster file and where its value comes from
#
#   -c FILE      cluster file (default: ./cluster.yaml, or examples/clusters/lab.yaml if there is none)
#
# Environment:
#   STRATA_SET_<path>   lies over the cluster file, under --set
#   STRATA_BIN          folder with built programs; nothing is built then
#   STRATA_KIT_PASSPHRASE_FILE   file with the passphrase of a kit (/dev/fd/3 works); without it the terminal is asked
#   STRATA_LAB_URL      a running lab to use instead of an own one
#
# Exit codes: 0 done, 1 stopped and resumable, 2 preflight, 3 refused or not confirmed, 4 done but partly unobserved, 130 interrupted.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
started=$(date +%s)

target=${CARGO_TARGET_DIR:-$root/target}
readonly root started target
readonly programs=(strata strata-lab terraform-provider-strata)

info() { printf '%s\n' "$*" >&2; }

# Cause, then remedy.
fatal() {
  info "error: $1"
  info "  fix: $2"
  exit "${3:-1}"
}

line() { printf '%d:%02d %-11s %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$1" "$2"; }

usage() { sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

check_tools() {
  command -v terraform >/dev/null ||
    fatal "terraform was not found (TF-01)" "install Terraform 1.11 or newer: https://developer.hashicorp.com/terraform/install" 2
  [[ -n ${STRATA_BIN:-} ]] && return
  command -v cargo >/dev/null ||
    fatal "cargo was not found, and the provider is built from source" "install Rust: https://rustup.rs" 2
}

is_built() {
  local program
  for program in "${programs[@]}"; do
    [[ -x $target/debug/$program ]] || return 1
  done
}

# A build with nothing to do takes a fraction of a second and says nothing.
build() {
  [[ -n ${STRATA_BIN:-} ]] && return
  local log=$target/bootstrap-build.log first=false
  mkdir -p "$target"
  if ! is_built; then
    first=true
    line build "provider, cli and lab, first time only, about 4 min on 2 cores (log $log)"
  fi
  (cd -- "$root" && cargo build -p strata -p strata-lab -p terraform-provider-strata) >"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    fatal "the build failed" "read $log"
  }
  if [[ $first == true ]]; then
    line build "done"
  fi
}

main() {
  local verb=up bin=${STRATA_BIN:-$target/debug}
  case ${1:-} in
    -h | --help | help)
      usage
      exit 0
      ;;
    up | plan | preflight | status | node | destroy | kubeconfig | capture | kit | backup | restore | adopt | store | unlock | explain | cluster)
      verb=$1
      shift
      ;;
    '' | -*) ;;
    *) fatal "there is no command $1" "./bootstrap.sh --help" 3 ;;
  esac
  check_tools
  build
  STRATA_ROOT=$root STRATA_STARTED=$started exec "$bin/strata" "$verb" "$@"
}

main "$@"
