# The developer's commands. `make help` lists them. CI runs `make test` and nothing else.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION  := 0.1.0
OS_ARCH  := $(shell uname -s | tr '[:upper:]' '[:lower:]')_$(shell uname -m | sed 's/x86_64/amd64/;s/aarch64/arm64/')
SOURCE   := strata.internal/strata-iac/strata
TARGET   := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
BIN      := $(TARGET)/debug
PROVIDER := $(BIN)/terraform-provider-strata
PLUGINS  := $(HOME)/.terraform.d/plugins
LAYERS   := $(sort $(wildcard terraform/0*))
MODULES  := $(sort $(wildcard terraform/modules/*))
NODE_SCRIPT := provider/src/services/flatcar/strata-node.sh
# Tests by what they need, told by the name of their binary: whole clusters (terraform and kubectl), the framework under the real terraform, nothing.
ROOTED   := binary(namespaces)
# Always --workspace: another selection of packages has other features, and cargo would build serde_json and all that stands on it again.
CLUSTERS  := package(strata) and binary(acceptance)
TERRAFORM := kind(test) and binary(/^terraform/)
# Terraform as the checks use it: own CLI configuration, own plugin mirror, no registry, nothing of the user's.
CHECKS   := $(CURDIR)/target/checks
TF       := env -u TF_WORKSPACE -u TF_DATA_DIR TF_CLI_CONFIG_FILE=$(CHECKS)/terraform.rc CHECKPOINT_DISABLE=1 terraform

TRIPLE   := $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_SECONDS ?= 30

.PHONY: help build test check fmt clippy docs docs-current unit acceptance shell terraform deny size tools install dev bench fuzz chance

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

build: ## Build provider, cli and lab (dev profile)
	cargo build --workspace --bins

test: tools check unit acceptance terraform fuzz ## Everything CI runs: format, lints, unit and acceptance tests, shell, Terraform

check: fmt clippy docs-current shell size deny ## Format, lints, generated pages, shellcheck, sizes, dependencies

fmt: ## Rust and HCL are formatted
	cargo fmt --all --check
	cargo fmt --all --check --manifest-path bench/Cargo.toml
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	TF_CLI_CONFIG_FILE=/dev/null terraform fmt -check -recursive -diff terraform examples

clippy: ## Lints, warnings are errors
	cargo clippy --workspace --all-targets -- -D warnings

docs: ## Write the generated pages of docs/: from doc comments, schemas and examples/
	STRATA_WRITE_DOCS=1 $(MAKE) --no-print-directory docs-current

docs-current: ## docs/ says what the code says
	cargo nextest run --workspace -E 'test(the_written_documentation_is_current) or (package(terraform-provider-strata) and binary(docs))'

unit: ## Tests that need nothing but this machine
	cargo nextest run --workspace -E 'not ($(CLUSTERS)) and not ($(TERRAFORM))$(if $(filter-out 0,$(shell id -u)), and not $(ROOTED))'
	@if ((EUID)); then echo "not run, because it needs root: the real sshd and nft in namespaces (provider/tests/namespaces)"; fi

acceptance: build ## Tests with the real terraform and kubectl: the framework's, then whole clusters through bootstrap.sh
	cargo nextest run --workspace -E '$(TERRAFORM)'
	cargo nextest run --workspace -E '$(CLUSTERS)'

shell: ## bash -n and shellcheck over all scripts
	@for script in bootstrap.sh .ci/run .ci/tools .ci/python; do bash -n "$$script"; shellcheck "$$script"; done
	bash -n $(NODE_SCRIPT)
	@# SC2046, SC2086: it splits words on purpose; a directive in the file would travel to every node.
	shellcheck --exclude=SC2046,SC2086 $(NODE_SCRIPT)

terraform: build ## Validate layers and modules, run the modules' tests with the built provider (examples are applied by `make acceptance`)
	mkdir -p $(CHECKS)/mirror/$(SOURCE)/$(VERSION)/$(OS_ARCH)
	cp -f $(PROVIDER) $(CHECKS)/mirror/$(SOURCE)/$(VERSION)/$(OS_ARCH)/terraform-provider-strata_v$(VERSION)
	printf 'disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror {\n    path = "%s"\n  }\n}\n' $(CHECKS)/mirror >$(CHECKS)/terraform.rc
	rm -rf $(CHECKS)/terraform && cp -R terraform $(CHECKS)/terraform
	find $(CHECKS)/terraform \( -name .terraform -o -name .terraform.lock.hcl -o -name 'terraform.tfstate*' \) -prune -exec rm -rf {} +
	@for folder in $(LAYERS) $(MODULES); do \
	  echo "== $$folder"; \
	  $(TF) -chdir=$(CHECKS)/$$folder init -input=false -backend=false -no-color >$(CHECKS)/init.log || { cat $(CHECKS)/init.log; exit 1; }; \
	  $(TF) -chdir=$(CHECKS)/$$folder validate -no-color; \
	  if compgen -G "$$folder/tests/*.tftest.hcl" >/dev/null; then $(TF) -chdir=$(CHECKS)/$$folder test -no-color; fi; \
	done

fuzz: ## Feed the decoders mutated values, each for FUZZ_SECONDS (30); what breaks one is left in target/fuzz
	cd fuzz && cargo build --locked --release --bins
	@for target in msgpack json; do \
	  mkdir -p target/fuzz/corpus/$$target; \
	  target/fuzz/$(TRIPLE)/release/$$target -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=5 -rss_limit_mb=512 -print_final_stats=1 \
	    -artifact_prefix=target/fuzz/$$target- target/fuzz/corpus/$$target fuzz/corpus/$$target >target/fuzz/$$target.log 2>&1 || \
	    { tail -n 60 target/fuzz/$$target.log; exit 1; }; \
	  echo "$$target: $$(sed -n 's/^stat::number_of_executed_units: *//p' target/fuzz/$$target.log) inputs, no finding"; \
	done

chance: build ## Let the real terraform and ours judge other schemas and answers than `make test` does, ROUNDS (10) times 300; a seed replays a round
	@for round in $$(seq $(or $(ROUNDS),10)); do \
	  STRATA_SEED=$$((RANDOM << 15 | RANDOM)) cargo nextest run --workspace --no-capture -E 'test(verdicts_by_chance_are_cores)'; \
	done

deny: ## Licences, sources and duplicate versions of dependencies
	if command -v cargo-deny >/dev/null; then cargo deny --all-features check licenses bans sources; \
	else echo "cargo-deny is not installed: dependencies were not checked (cargo install --locked cargo-deny)"; fi

size: ## No source file over 600 lines, tests apart
	@long=$$(git ls-files '*.rs' ':!:**/tests.rs' ':!:**/tests/**' | xargs wc -l | awk '$$2 != "total" && $$1 > 600 { print $$2 ": " $$1 " lines" }'); \
	if [[ -n $$long ]]; then echo "split these, 600 lines is the limit:"; echo "$$long"; exit 1; fi

tools: ## Check the prerequisites; as root on Debian, install what is missing
	.ci/tools

install: build ## Put the provider where a plain terraform finds it, and drop the layers' locks on the old build
	install -D -m 755 $(PROVIDER) $(PLUGINS)/$(SOURCE)/$(VERSION)/$(OS_ARCH)/terraform-provider-strata_v$(VERSION)
	for layer in $(LAYERS); do rm -f "$$layer/.terraform.lock.hcl"; done
	@echo "installed. By hand: eval \"\$$(target/debug/strata-lab env)\" and README.md, section 'By hand'"

dev: build ## Write a CLI file with dev_overrides, for use while changing the provider
	mkdir -p .strata/dev/mirror/$(SOURCE)/$(VERSION)/$(OS_ARCH) .strata/dev/bin
	ln -sf $(PROVIDER) .strata/dev/bin/terraform-provider-strata
	printf '#!/bin/sh\nexit 1\n' >.strata/dev/mirror/$(SOURCE)/$(VERSION)/$(OS_ARCH)/terraform-provider-strata_v$(VERSION)
	chmod 755 .strata/dev/mirror/$(SOURCE)/$(VERSION)/$(OS_ARCH)/terraform-provider-strata_v$(VERSION)
	printf 'disable_checkpoint = true\nprovider_installation {\n  dev_overrides {\n    "%s" = "%s"\n  }\n  filesystem_mirror {\n    path = "%s"\n  }\n}\n' $(SOURCE) $(CURDIR)/.strata/dev/bin $(CURDIR)/.strata/dev/mirror >.strata/dev/terraform.rc
	for layer in $(LAYERS); do rm -f "$$layer/.terraform.lock.hcl"; done
	@echo 'export TF_CLI_CONFIG_FILE=$(CURDIR)/.strata/dev/terraform.rc'

# tf-provider starts a protoc to build; the one in bench/ is enough for it, so that cargo and terraform remain all that is needed.
BENCH    := $(TARGET)/bench/cargo
STRATA   := $(wildcard $(TARGET)/release/terraform-provider-strata)
bench: ## Measure the framework beside terraform_data and tf-provider (minutes; ROUNDS=9 LIVES=100). The real provider too, if built with --release
	cargo build --release --package strata-framework --example terraform-provider-null
	cargo build --release --manifest-path bench/Cargo.toml --target-dir $(BENCH) --package protoc
	PROTOC=$(BENCH)/release/protoc cargo build --release --manifest-path bench/Cargo.toml --target-dir $(BENCH) --package terraform-provider-peer
	cargo build --release --manifest-path bench/Cargo.toml --target-dir $(BENCH) --package bench
	$(BENCH)/release/bench --framework $(TARGET)/release/examples/terraform-provider-null --peer $(BENCH)/release/terraform-provider-peer \
	  $(if $(STRATA),--strata $(STRATA)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(LIVES),--lives $(LIVES)) --json $(TARGET)/bench/framework.json
	@# What the provider asks of Scaleway and of Proxmox, counted by the lab.
	cargo nextest run --workspace --no-capture -E 'test(fifty_servers_cost_hardly_more_calls_than_their_orders) or test(a_thousand_servers_are_refreshed) or test(fifty_machines_cost_few_calls)'
