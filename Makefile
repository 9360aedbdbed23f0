# Each target sets up what it needs; see CONTRIBUTING.md. `check` never writes to the tree.
.PHONY: run test check torture build tools

# Starts a registry on 127.0.0.1:5000 with its data in ./data.
run:
	cargo run --locked -p roadstead -- serve

build:
	cargo build --locked -p roadstead

# What a change must pass: everything that runs within minutes.
test:
	tests/run

# The same in its long form: hours.
torture:
	TORTURE=1 tests/run

check:
	tests/check

tools:
	tests/tools
