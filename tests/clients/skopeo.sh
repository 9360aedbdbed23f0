# skopeo: copies in and out, in both manifest formats.

crane append --insecure -f "$scratch/layer.tar" -t "$host/skopeo/source:1" >/dev/null 2>&1
check "copies from the registry" skopeo copy --src-tls-verify=false "docker://$host/skopeo/source:1" "dir:$scratch/skopeo-1"
check "copies into the registry" \
    skopeo copy --dest-tls-verify=false "dir:$scratch/skopeo-1" "docker://$host/skopeo/copy:1"
check "copies it out again" skopeo copy --src-tls-verify=false "docker://$host/skopeo/copy:1" "dir:$scratch/skopeo-2"
check "finds every file identical" diff -r "$scratch/skopeo-1" "$scratch/skopeo-2"
check "pushes as an OCI image" skopeo copy --format oci --dest-tls-verify=false "dir:$scratch/skopeo-1" "docker://$host/skopeo/oci:1"
check "pushes as a Docker image" \
    skopeo copy --format v2s2 --dest-tls-verify=false "dir:$scratch/skopeo-1" "docker://$host/skopeo/docker:1"
check "pushes zstd layers" skopeo copy --format oci --dest-compress-format zstd --dest-tls-verify=false \
    "dir:$scratch/skopeo-1" "docker://$host/skopeo/zstd:1"
check "inspects" skopeo inspect --tls-verify=false "docker://$host/skopeo/zstd:1"
check "lists tags" grep -q '"1"' <(skopeo list-tags --tls-verify=false "docker://$host/skopeo/copy")
check "deletes" skopeo delete --tls-verify=false "docker://$host/skopeo/copy:1"
check "finds it gone" gone skopeo/copy/manifests/1
