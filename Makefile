# Liaison: `make` shows what there is.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
PROGRAMS := $(TARGET)/debug
# Test binaries that exist, in the order of what they cost.
SUITES := $(strip $(foreach suite,it cluster e2e,$(if $(wildcard tests/$(suite)/main.rs),$(suite))))
SKIPPED := $(if $(LIAISON_TEST_KUBECONFIG),own_control_plane attacks tenancy people)
# End-to-end tests mostly wait: for servers, for tokens to be due, for their turn.
E2E_THREADS := 4
# A node needs rights that not every machine gives; says why, where it does not.
no_node = $(shell tests/node/install --check 2>&1)
say = printf '\n==> %s\n'

.PHONY: help
help: ## This list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24
	@printf '%s\n' '' 'Settings, from the environment:' \
	'  AUTO=1                   make demo: show everything, then stop, as without a terminal' \
	'  LIAISON_TEST_KUBECONFIG  use this existing cluster (kind, for example) instead of our own processes' \
	'  KUBEBUILDER_ASSETS       folder with etcd, kube-apiserver, kubectl; what it lacks is built' \
	'  LIAISON_CACHE            where built servers are kept; default ~/.cache/liaison'

.PHONY: demo
demo: tools-for-demo ## Liaison on this machine, with examples, until Ctrl-C
	@$(say) 'servers: Kubernetes and the identity provider (minutes once, then cached)'
	@tests/controlplane/build >/dev/null
	@$(say) 'operator, plugin and demo'
	@$(CARGO) build --bins --example demo
	@$(say) 'demo'
	@exec $(PROGRAMS)/examples/demo

.PHONY: test
test: tools-for-test ## All set-up, then all tests
	@$(say) 'servers: Kubernetes, the identity providers, a browser, helm (minutes once, then cached)'
	@tests/controlplane/build --with-helm >/dev/null
	@tests/support/oidc-provider/install >/dev/null
	@tests/support/browser/install >/dev/null
	@[ -n '$(no_node)' ] || { $(say) 'a node: containerd, kubelet, scheduler, kube-proxy'; \
	    tests/node/install; tests/node/build >/dev/null; }
	@$(say) 'building the tests'
	@$(CARGO) test --no-run --lib $(addprefix --test ,$(SUITES) node)
	@[ -z '$(SKIPPED)' ] || $(say) 'existing cluster: tests in modules named $(SKIPPED) are skipped, they need files of the servers, or that the API server reaches this machine'
	@$(say) 'tests: the library'
	@$(CARGO) test --quiet --lib
	@for suite in $(SUITES); do \
	    $(say) "tests: $$suite"; \
	    $(CARGO) test --quiet --test "$$suite" -- $(addprefix --skip ,$(SKIPPED)) \
	        $$([ "$$suite" != e2e ] || echo --test-threads=$(E2E_THREADS)); \
	done
	@[ -n '$(no_node)' ] || { $(say) 'tests: node'; $(CARGO) test --quiet --test node; }
	@$(say) 'all tests passed: library $(SUITES)$(if $(no_node),, node)$(if $(SKIPPED), without $(SKIPPED))$(if \
	    $(no_node),; not run: node ($(no_node)))'

.PHONY: generate
generate: ## Write the files that are made from the code (crds/, charts, reference)
	@$(CARGO) run --quiet --bin liaison -- generate

.PHONY: lint
lint: ## Formatting and clippy, warnings are errors
	@$(CARGO) fmt --check
	@$(CARGO) clippy --all-targets -- --deny warnings

# Says what is missing and who needs it, before anything takes time.
need = command -v $(1) >/dev/null || { echo 'missing: $(1), needed $(2)' >&2; missing=1; };
need_node = major=$$(node --version 2>/dev/null | sed -E 's/^v([0-9]+).*/\1/') || true; \
    [ "$${major:-0}" -ge 20 ] || { echo 'missing: node 20 or later with npm, needed by the tests for their OpenID provider and browser' >&2; missing=1; };
need_browser = tests/support/browser/install --check || missing=1;
need_base = $(call need,$(CARGO),by everything: it builds Liaison) \
    $(call need,go,to build Kubernetes and the identity provider) \
    $(call need,flock,by the scripts that fill the cache)

.PHONY: tools-for-demo
tools-for-demo:
	@missing=; $(need_base) [ -z "$$missing" ] || exit 1

.PHONY: tools-for-test
tools-for-test:
	@missing=; $(need_base) $(need_node) $(call need,npm,by the tests for their OpenID provider and browser) $(need_browser) [ -z "$$missing" ] || exit 1
