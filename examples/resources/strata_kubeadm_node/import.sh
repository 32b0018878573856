# Name, address and role.
terraform import strata_kubeadm_node.cp cp-1,203.0.113.11,control-plane
