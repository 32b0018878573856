#!/bin/bash
# Makes of a fresh mount namespace what Ignition makes of a machine, as far as strata-node and sshd look at it. Nothing outside of the namespace is written.
# Usage: node.sh PLACE     PLACE has strata-node, open.nft, host-key, host-key.pub, authorized_keys, name, names (what a DNS server would say), and the stand-ins.
set -euo pipefail

# Anywhere else it would overwrite the machine it runs on.
if [[ ${STRATA_TEST_ROOM:-} != node || $PPID != 1 ]]; then
  echo "node.sh runs in the namespaces of a test only" >&2
  exit 1
fi
place=$1
mkdir -p "$place/etc"
mount -t tmpfs -o mode=755 tmpfs "$place/etc"
cp -a /etc/. "$place/etc"
mount --move "$place/etc" /etc
for folder in /opt /run /usr/local/sbin /var/lib; do
  mount -t tmpfs -o mode=755 tmpfs "$folder"
done
mkdir -p /run/sshd /etc/strata/nft /opt/strata/bin
rm -rf /etc/ssh
mkdir -p /etc/ssh

name=$(<"$place/name")
hostname "$name"
ip link set lo up
echo "127.0.0.1 localhost $name" >/etc/hosts
cat "$place/names" >>/etc/hosts
echo "$place" >/run/strata-place
echo 'core:x:500:500::/:/bin/bash' >>/etc/passwd
echo 'core:x:500:' >>/etc/group
echo 'core:*:19000:0:99999:7:::' >>/etc/shadow
install -D -m 440 /dev/stdin /etc/sudoers.d/core <<<'core ALL=(ALL) NOPASSWD: ALL'

install -m 600 "$place/host-key" /etc/ssh/ssh_host_ed25519_key
install -m 644 "$place/host-key.pub" /etc/ssh/ssh_host_ed25519_key.pub
install -m 644 "$place/authorized_keys" /etc/ssh/authorized_keys.core
install -D -m 600 "$place/10-strata.conf" /etc/ssh/sshd_config.d/10-strata.conf
cat >/etc/ssh/sshd_config <<'END'
Include /etc/ssh/sshd_config.d/*.conf
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/authorized_keys.%u
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PrintMotd no
PrintLastLog no
END

for program in systemctl systemd-run kubeadm crictl journalctl ask-test; do install -m 755 "$place/$program" /usr/local/sbin; done
install -m 755 "$place/strata-node" /opt/strata/bin/strata-node
install -m 600 "$place/open.nft" /etc/strata/nft/open.nft
# What others have in the kernel, and what must stay.
nft -f - <<'END'
table inet cilium {
  chain forward {
    type filter hook forward priority 0; policy accept;
    tcp dport 4242 counter drop
  }
}
END
/opt/strata/bin/strata-node firewall-load
