# From files beside this configuration. With `mount = "secret"` instead of the
# files, from Vault.
ephemeral "strata_node_inputs" "worker" {
  role        = "worker"
  config_file = "worker.yaml"
  patch_file  = "worker-patch.yaml"
  node_file   = "worker-node.yaml"
}
