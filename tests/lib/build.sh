# Sourced by what compiles for the tests. One set of flags, and always a build of the whole workspace (`--workspace`, then the
# targets that are wanted; cargo unites features over what is selected): so that every dependency is compiled once for all of them.

# tokio takes its randomness from a seed, as tests/simulate needs it, only when it is compiled for that.
case "${RUSTFLAGS:-}" in
    *tokio_unstable*) ;;
    *) export RUSTFLAGS="${RUSTFLAGS:-} --cfg tokio_unstable" ;;
esac
