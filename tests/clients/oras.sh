# oras: arbitrary artifacts and their referrers.

(
    cd "$scratch"
    echo '{"bom": true}' >sbom.json
    head -c 100000 /dev/urandom >model.bin
)
artifact="$host/oras/models/small"
check "pushes an artifact" env -C "$scratch" oras push --plain-http "$artifact:1" \
    --artifact-type application/vnd.example.model.v1 model.bin:application/octet-stream
check "attaches a referrer" env -C "$scratch" oras attach --plain-http "$artifact:1" \
    --artifact-type application/vnd.example.sbom.v1 sbom.json:application/json
check "discovers it" grep -q vnd.example.sbom <(oras discover --plain-http --format json "$artifact:1")
check "discovers by type" grep -q vnd.example.sbom \
    <(oras discover --plain-http --format json --artifact-type application/vnd.example.sbom.v1 "$artifact:1")
check "finds nothing of another type" refused grep -q vnd.example.sbom \
    <(oras discover --plain-http --format json --artifact-type application/vnd.example.other "$artifact:1")
mkdir -p "$scratch/oras-out"
check "pulls it" oras pull --plain-http -o "$scratch/oras-out" "$artifact:1"
check "finds it identical" cmp "$scratch/model.bin" "$scratch/oras-out/model.bin"
check "pushes several tags at once" env -C "$scratch" oras push --plain-http "$artifact:a,b,c" model.bin
check "lists tags" same "$(oras repo tags --plain-http "$artifact" | paste -sd' ')" "1 a b c"
check "lists repositories" grep -q oras/models/small <(oras repo ls --plain-http "$host")
check "copies with referrers" oras copy -r --from-plain-http --to-plain-http "$artifact:1" "$host/oras/copy:1"
check "finds the referrer at the copy" grep -q vnd.example.sbom <(oras discover --plain-http --format json "$host/oras/copy:1")
check "deletes a manifest" oras manifest delete --plain-http --force "$artifact:1"
check "finds it gone" gone oras/models/small/manifests/1
