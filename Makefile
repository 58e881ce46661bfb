# One command for each thing; `make` lists them. CARGO_TARGET_DIR is honoured throughout.

TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),$(CURDIR)/target)
export YGG_TARGET := $(TARGET)

.PHONY: help run test test-deps build check fmt bench load-test docs previous clean-demo

help: ## lists what make can do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort \
		| awk -F ':.*## ' '{ printf "  make %-11s %s\n", $$1, $$2 }'

run: ## tries it: a homelab under demo/ with a coordinator, three executors and about ten beads
	@scripts/beads-cli.sh any
	@echo "building (the first time takes some minutes)"
	@cargo build --locked --workspace --bins
	@exec "$(TARGET)/debug/demo" --folder demo

test: ## runs every check and every test, and says at the end what was skipped and why
	@scripts/test.sh

test-deps: ## installs the system packages that more tests want (apt or dnf, as root)
	@scripts/test-deps.sh

build: ## builds everything
	cargo build --locked --workspace --bins

check: ## formatting and lints only
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

fmt: ## formats the code
	cargo fmt --all

bench: ## measures speed and memory, and prints a table (ONLY=NAME for one part)
	@scripts/beads-cli.sh any
	@scripts/get-yardstick.sh
	cargo build --locked --release --workspace --bins
	@exec "$(TARGET)/release/bench" $(if $(ONLY),--only $(ONLY))

load-test: ## drives the gateway, and says whether 1,000 requests a second are reached
	@scripts/beads-cli.sh any
	cargo build --locked --release --package e2e --package yggdrasil-coordinator --bins
	@exec "$(TARGET)/release/load-test"

docs: ## writes docs/tasks.md, docs/openapi.json and docs/openapi.d.ts anew
	cargo build --locked --workspace --bins
	@"$(TARGET)/debug/task-docs" --write
	@"$(TARGET)/debug/openapi"
	@scripts/api-types.sh --write

previous: ## records what this version leaves behind, for the tests of the next one
	cargo build --locked --workspace --bins
	@exec "$(TARGET)/debug/record" --out e2e/previous

clean-demo: ## ends what `KEEP=1 make run` left running, and removes demo/
	@cargo build --locked --quiet --package e2e --bin demo
	@exec "$(TARGET)/debug/demo" --folder demo --clean
