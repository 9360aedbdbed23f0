module roadstead.dev/tests/kind/pause

go 1.26
