# Kubernetes objects from a folder, in the order of their file names, by server-side apply. Objects whose file is gone are removed.

locals {
  files = var.folder == null ? [] : sort(fileset(var.folder, "**/*.{yaml,yml}"))

  # A file may hold several documents; those with nothing but comments are no objects.
  documents = [
    for document in flatten([for path in local.files : split("\n---", "\n${file("${var.folder}/${path}")}")]) : document
    if length(regexall("(?m)^[^#\\s]", document)) > 0
  ]
}

resource "strata_kubernetes_manifests" "this" {
  for_each = length(local.documents) > 0 ? toset([var.name]) : toset([])

  name      = each.key
  cluster   = var.cluster
  documents = local.documents
}
