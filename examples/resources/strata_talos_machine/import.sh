# Name, address, role, and the store entry with the secrets of the cluster.
terraform import strata_talos_machine.controller cp-9,192.0.2.19,control-plane,talos
