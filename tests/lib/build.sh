# Sourced by what compiles for the tests. One set of flags, and always a build of the whole workspace (`--workspace`, then the
# targets that are wanted; cargo unites features over what is selected): so that every dependency is compiled once for all of them.

# tokio takes its randomness from a seed, as tests/simulate needs it, only when it is compiled for that.
case "${RUSTFLAGS:-}" in
    *tokio_unstable*) ;;
    *) export RUSTFLAGS="${RUSTFLAGS:-} --cfg tokio_unstable" ;;
esac

# Sets roadstead to the registry that the tests run: ROADSTEAD, or one built now, since the last build may have been one with faults
# or for the simulation. root is the repository.
build_registry() {
    [ -n "${ROADSTEAD:-}" ] || (cd "$root" && cargo build --quiet --locked --workspace --bin roadstead)
    roadstead=${ROADSTEAD:-${CARGO_TARGET_DIR:-$root/target}/debug/roadstead}
}
