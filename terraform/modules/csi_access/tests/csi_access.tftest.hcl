mock_provider "strata" {}

variables {
  cluster = "home"
}

run "two_clusters_on_one_proxmox_have_their_own" {
  command = plan

  assert {
    condition     = strata_proxmox_role.this.name == "strata-home-csi" && strata_proxmox_user.this.name == "strata-home-csi@pve"
    error_message = "Role and user carry the cluster's name."
  }

  assert {
    condition     = !strata_proxmox_token.this.privilege_separation && strata_proxmox_token.this.store_format == "value"
    error_message = "The token has its user's rights; the store has the bare value."
  }
}
