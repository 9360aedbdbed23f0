# regctl: chunked uploads, image copies, tags, referrers, deletion of a single tag.

crane append --insecure -f "$scratch/layer.tar" -t "$host/regctl/source:1" >/dev/null 2>&1
check "is set up" regctl registry set "$host" --tls disabled --blob-chunk 500000 --blob-max 1000000
check "copies an image" regctl image copy "$host/regctl/source:1" "ocidir://$scratch/regctl-oci:1"
check "pushes it, in chunks" regctl image copy "ocidir://$scratch/regctl-oci:1" "$host/regctl/chunked:1"
check "finds the same digest" same "$(regctl image digest "$host/regctl/chunked:1")" "$(regctl image digest "$host/regctl/source:1")"
check "adds a referrer" regctl artifact put --subject "$host/regctl/chunked:1" \
    --artifact-type application/vnd.example.note -f "$scratch/layer.tar"
check "lists referrers" grep -q vnd.example.note <(regctl artifact list "$host/regctl/chunked:1" --format '{{jsonPretty .}}')
check "copies a tag" regctl image copy "$host/regctl/chunked:1" "$host/regctl/chunked:2"
check "lists tags" same "$(regctl tag ls "$host/regctl/chunked" | paste -sd' ')" "1 2"
check "deletes one tag and keeps its sibling" regctl tag delete "$host/regctl/chunked:1"
check "finds one tag left" same "$(regctl tag ls "$host/regctl/chunked" | paste -sd' ')" "2"
check "deletes the manifest" regctl manifest delete --force-tag-dereference "$host/regctl/chunked:2"
check "finds it gone" gone regctl/chunked/manifests/2
