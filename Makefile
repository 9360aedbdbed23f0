# Each target sets up what it needs; see CONTRIBUTING.md. `check` never writes to the tree.
.PHONY: run test check torture e2e bench build image generate tools

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

# Every story of the operator, on a kind cluster.
e2e:
	tests/kind/stories/run --all

# Side by side with what people would pick instead: docs/reference/benchmarks.md. ONLY=P9 for one case, QUICK=1 for minutes.
bench:
	tests/bench/run

check:
	tests/check

# The image of both binaries, as an archive: target/image/roadstead.tar
image:
	image/build

# The kinds of the operator as YAML, in crds/ and the chart, and their reference; and the chart's rules of its rights.
generate:
	cargo run --locked --quiet -p roadstead-operator -- crd --dir crds
	cargo run --locked --quiet -p roadstead-operator -- crd --reference > docs/reference/kinds.md
	cp crds/*.yaml charts/roadstead/files/crds/
	cargo run --locked --quiet -p roadstead-operator -- rights > charts/roadstead/templates/_rules.tpl

tools:
	tests/tools
