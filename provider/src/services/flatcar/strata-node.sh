#!/bin/bash
# strata-node: the closed list of things Strata ever does on a node (docs/delivery.md, section 5).
# Usage: strata-node VERB [ARGUMENT...]     Run as root, over SSH before lockdown and from a one-shot pod after it.
# Exit codes: 0 done, 1 the step failed, 64 unknown verb or refused argument.
set -euo pipefail

nft_dir=/etc/strata/nft
snapshots=/var/lib/strata/snapshots
window_keys=/run/strata/window-keys
etcd_flags="--cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key"

refuse() {
  echo "strata-node: $1" >&2
  exit 64
}

fail() {
  echo "strata-node: $1" >&2
  exit 1
}

# etcdctl lives in the etcd container only.
etcdctl() {
  local container
  container=$(crictl ps --quiet --name etcd --state Running)
  crictl exec "$container" etcdctl $etcd_flags "$@"
}

# Another kubeadm, kubelet and kubectl: the new image lies beside the old one, and the link says which of them is merged.
extension() {
  local image="kubernetes-$1-x86-64.raw" folder=/opt/extensions/kubernetes
  if [ ! -f $folder/$image ]; then
    curl -fsSL --retry 5 -o $folder/$image.part https://extensions.flatcar.org/extensions/$image
    if [ -n "${2:-}" ]; then echo "$2  $folder/$image.part" | sha256sum -c -; fi
    mv $folder/$image.part $folder/$image
  fi
  ln -sfn $folder/$image /etc/extensions/kubernetes.raw
  systemd-sysext refresh
  systemctl daemon-reload
}

# etcd writes into its own folder, the only one of the host that its container has.
snapshot() {
  mkdir -p $snapshots
  etcdctl snapshot save /var/lib/etcd/$1
  mv /var/lib/etcd/$1 $snapshots/$1
}

# Part NUMBER of the operator's snapshot.
part() {
  dd if=$snapshots/operator.db bs=4194304 skip="$1" count=1 status=none
}

# etcd's folder anew from a snapshot, with one member. etcdutl is in etcd's image only, and no pod runs yet. The revision jumps far ahead, so that
# nobody who saw a later one than the snapshot's takes old objects for new ones.
restore() {
  local image url="https://$2:2380"
  local mounts="--mount type=bind,src=/etc/strata,dst=/etc/strata,options=rbind:ro --mount type=bind,src=/var/lib,dst=/var/lib,options=rbind:rw"
  case "$2" in
    *:*) url="https://[$2]:2380" ;;
  esac
  image=$(kubeadm config images list --config /etc/strata/kubeadm.yaml | grep -E '/etcd:')
  ctr --namespace k8s.io images pull "$image"
  rm -rf /var/lib/etcd
  ctr --namespace k8s.io run --rm $mounts "$image" strata-restore etcdutl snapshot restore /etc/strata/restore.db --data-dir /var/lib/etcd --name "$1" --initial-cluster "$1=$url" --initial-advertise-peer-urls "$url" --bump-revision 1000000000 --mark-compacted
}

# All certificates of a control plane were made with its API server's, and are renewed with it, 60 days before they end.
certs_renew() {
  local served=/etc/kubernetes/pki/apiserver.crt component
  if openssl x509 -checkend 5184000 -noout -in $served; then return 0; fi
  # What restarts below is away for a moment: not while another control plane is. Ended ones cannot be asked any more.
  if openssl x509 -checkend 0 -noout -in $served; then etcdctl endpoint health --cluster; fi
  kubeadm certs renew all
  for component in etcd kube-apiserver kube-controller-manager kube-scheduler; do
    crictl stop "$(crictl ps --quiet --name $component --state Running)"
  done
}

# What is on the disks, before the machine goes back to its landlord. The system runs from one of them: what still runs is in memory, and nothing
# is written any more. A member of etcd is not waited for: the others may be wiped already. A disk that cannot discard loses its signatures only.
wipe() {
  local disks disk left=""
  kubeadm reset --force --skip-phases=remove-etcd-member || true
  rm -rf /etc/kubernetes /var/lib/etcd /etc/strata/kubeadm.yaml /etc/strata/discovery.conf $snapshots
  disks=$(lsblk --nodeps --noheadings --paths --output NAME | grep -E '^/dev/(sd|nvme|vd)')
  for disk in $disks; do
    if blkdiscard --force "$disk"; then
      echo "wiped $disk"
    else
      wipefs --all --force "$disk" || true
      left="$left $disk"
    fi
  done
  if [ -n "$left" ]; then fail "wipe: cannot discard$left, so only signatures went"; fi
}

# The node sets, live and in both saved files, so that a reboot or a restore keeps the peers.
peers() {
  local v4="" v6="" address
  for address in "$@"; do
    case "$address" in
      *:*) v6="$v6${v6:+, }$address" ;;
      *) v4="$v4${v4:+, }$address" ;;
    esac
  done
  nft flush set inet strata nodes4
  nft flush set inet strata nodes6
  if [ -n "$v4" ]; then nft add element inet strata nodes4 "{ $v4 }"; fi
  if [ -n "$v6" ]; then nft add element inet strata nodes6 "{ $v6 }"; fi
  echo "$v4" > $nft_dir/nodes4
  echo "$v6" > $nft_dir/nodes6
}

# After a rule file is loaded its sets hold the addresses of the day it was written: put the latest peers back.
load() {
  nft -f "$1"
  if [ -f $nft_dir/nodes4 ]; then peers $(cat $nft_dir/nodes4 $nft_dir/nodes6 | tr ',' ' '); fi
}

verb=${1:-}
case "$verb" in
  version)
    echo "strata-node 1"
    ;;
  put)
    case "$3" in
      *..*) refuse "put: $3 leaves its folder" ;;
      /etc/kubernetes/* | /etc/strata/*) install -D -m "$2" /dev/stdin "$3" ;;
      *) refuse "put: $3 is not under /etc/kubernetes or /etc/strata" ;;
    esac
    ;;
  host-key)
    rm -f /etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_ed25519_key.pub
    ssh-keygen -q -t ed25519 -N "" -C "" -f /etc/ssh/ssh_host_ed25519_key
    systemctl restart sshd.socket
    cat /etc/ssh/ssh_host_ed25519_key.pub
    ;;
  kubeadm-init)
    kubeadm init --config /etc/strata/kubeadm.yaml
    ;;
  kubeadm-join)
    kubeadm join --config /etc/strata/kubeadm.yaml
    ;;
  kubeadm-reset)
    kubeadm reset --force
    rm -rf /etc/kubernetes/pki /etc/strata/discovery.conf $snapshots
    ;;
  wipe)
    wipe
    ;;
  extension)
    extension "$2" "${3:-}"
    ;;
  kubernetes)
    extension "$2" "${4:-}"
    case "$3" in
      # Its job looks for a node that takes pods, and this one was emptied; the health of the rest was looked at before.
      apply) kubeadm upgrade apply "$2" --yes --ignore-preflight-errors=CreateJob ;;
      node) kubeadm upgrade node ;;
      *) refuse "kubernetes: apply or node, not $3" ;;
    esac
    systemctl restart kubelet.service
    ;;
  snapshot)
    snapshot operator.db
    stat --format=%s $snapshots/operator.db
    sha256sum $snapshots/operator.db
    ;;
  snapshot-part)
    part "$2" | base64 --wrap=1024
    part "$2" | sha256sum
    ;;
  snapshot-keep)
    snapshot "$(date --utc +%Y%m%dT%H%M%SZ).db"
    find $snapshots -name '2*.db' | sort | head --lines=-"$2" | xargs --no-run-if-empty rm -f
    ;;
  kubeadm-restore)
    restore "$2" "$3"
    kubeadm init --config /etc/strata/kubeadm.yaml --ignore-preflight-errors=DirAvailable--var-lib-etcd
    rm -f /etc/strata/restore.db
    ;;
  certs)
    kubeadm certs check-expiration -o json
    ;;
  certs-renew)
    certs_renew
    ;;
  hosts)
    sed -i "/ $2\$/d" /etc/hosts
    echo "$3 $2" >> /etc/hosts
    ;;
  members)
    etcdctl member list -w json
    ;;
  etcd-health)
    etcdctl endpoint health --cluster
    ;;
  member-remove)
    etcdctl member remove "$2"
    ;;
  firewall-load)
    if [ -f $nft_dir/current.nft ]; then load $nft_dir/current.nft; else load $nft_dir/open.nft; fi
    ;;
  lock-check)
    nft -c -f $nft_dir/locked.nft
    ;;
  lock-arm)
    nft -c -f $nft_dir/locked.nft
    systemctl stop strata-restore.timer || true
    systemd-run --collect --on-active="$2" --unit=strata-restore /opt/strata/bin/strata-node unlock
    load $nft_dir/locked.nft
    ss --kill state established sport = :22 || true
    ;;
  confirm)
    # No timer means that the open rules are back, and there is nothing to make permanent.
    systemctl stop strata-restore.timer || fail "confirm: the timer ran out or was never armed, so the open rules are loaded"
    cp $nft_dir/locked.nft $nft_dir/current.nft
    ;;
  unlock)
    rm -f $nft_dir/current.nft
    load $nft_dir/open.nft
    ;;
  peers)
    shift
    peers "$@"
    ;;
  ssh-open)
    # To nft a timeout of 0 is none at all.
    if [ "$3" -lt 1 ] || [ "$3" -gt 14400 ]; then refuse "ssh-open: 1 to 14400 seconds, not '$3'"; fi
    case "$2" in
      *:*) operators=operator6 ;;
      *) operators=operator4 ;;
    esac
    # Kernels before 6.12 keep the time of an element that is there, so it goes first. An open node's operators have no time and stay.
    if [ -f $nft_dir/current.nft ]; then
      nft "add element inet strata $operators { $2 }; delete element inet strata $operators { $2 }"
    fi
    nft add element inet strata $operators "{ $2 timeout ${3}s }"
    ;;
  ssh-keys)
    systemctl stop strata-keys.timer || true
    rm -f $window_keys
    seconds=$2
    if [ "$seconds" -gt 14400 ]; then refuse "ssh-keys: 14400 seconds at most, not '$seconds'"; fi
    shift
    shift
    if [ "$seconds" -gt 0 ]; then
      mkdir -p /run/strata
      # A verb's argument has neither spaces nor plus signs, so a line of authorized_keys comes in base64url.
      for key in "$@"; do
        echo "$key" | tr _ / | tr - + | base64 -d >> $window_keys
      done
      systemd-run --collect --on-active="$seconds" --unit=strata-keys /opt/strata/bin/strata-node ssh-keys 0
    fi
    ;;
  rules)
    nft list table inet strata
    ;;
  journal)
    journalctl --no-pager --lines=50 --unit=kubelet
    ;;
  updates)
    # What Flatcar leaves when a newer release lies on the other half of the disk, and kured looks for. It is in memory: a boot takes it away.
    if [ -f /run/reboot-required ]; then stat --format=%Y /run/reboot-required; fi
    ;;
  reboot)
    systemctl reboot
    ;;
  *)
    refuse "unknown verb '$verb'"
    ;;
esac
