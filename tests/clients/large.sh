# One large layer, there and back, with the registry's memory bounded.

size=${SIZE:-1G}
limit=200 # MiB resident, at the most
start large
mkdir -p "$scratch/big"
head -c "$(numfmt --from=iec "$size")" /dev/urandom >"$scratch/big/layer"
began=$SECONDS
check "pushes a layer of $size" env -C "$scratch/big" oras push --plain-http --disable-path-validation "$host/large/blob:1" layer:application/octet-stream
echo "large: pushed $size in $((SECONDS - began)) s"
mkdir -p "$scratch/big/out"
began=$SECONDS
check "pulls it" oras pull --plain-http -o "$scratch/big/out" "$host/large/blob:1"
echo "large: pulled $size in $((SECONDS - began)) s"
check "finds it identical" cmp "$scratch/big/layer" "$scratch/big/out/layer"
peak=$(peak_memory "$pid")
echo "large: the registry used $peak MiB at the most"
check "keeps the registry under $limit MiB ($peak)" [ "$peak" -lt "$limit" ]
rm -rf "$scratch/big"
