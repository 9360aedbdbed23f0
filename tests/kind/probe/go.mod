module roadstead.dev/tests/kind/probe

go 1.26
