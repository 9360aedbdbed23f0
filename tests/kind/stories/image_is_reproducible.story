# The same binaries give the same image, byte for byte; it holds nothing but what they need, and no user is root
for copy in one two; do
    "$root/image/build" --profile "${PROFILE:-dev}" --name roadstead.test/again:1 "$work/$copy.tar" >/dev/null
done
cmp "$work/one.tar" "$work/two.tar"
mkdir "$work/image" "$work/root"
tar -xf "$work/one.tar" -C "$work/image"
blob() { echo "$work/image/blobs/sha256/${1#sha256:}"; }
manifest=$(blob "$(jq -r '.manifests[0].digest' "$work/image/index.json")")
config=$(blob "$(jq -r .config.digest "$manifest")")
expect "the user" "$(jq -r .config.User "$config")" 65532:65532
expect "layers" "$(jq '.layers | length' "$manifest")" 1
tar -xf "$(blob "$(jq -r '.layers[0].digest' "$manifest")")" -C "$work/root"
expect "programs" "$(ls "$work/root/usr/local/bin" | paste -sd' ')" "roadstead roadstead-operator"
expect "shells" "$(find "$work/root" -name sh -o -name bash -o -name busybox | wc -l)" 0
note "$(du -sh "$work/one.tar" | cut -f1) with $(find "$work/root" -type f | wc -l) files"
