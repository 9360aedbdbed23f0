# crane: images and an image index, plain and over TLS.

image="$host/crane/nested/name/of/any/depth"
check "pushes an image" crane append --insecure -f "$scratch/layer.tar" -t "$image:1"
digest=$(crane digest --insecure "$image:1")
check "pulls what it pushed" crane pull --insecure --format oci "$image:1" "$scratch/crane-1"
check "finds the same digest in what it pulled" grep -q "$digest" "$scratch/crane-1/index.json"
check "tags" crane tag --insecure "$image:1" 2
check "lists tags" same "$(crane ls --insecure "$image" | paste -sd' ')" "1 2"
check "copies to another repository" crane copy --insecure "$image:1" "$host/crane/copy:1"
check "finds the copy identical" same "$(crane digest --insecure "$host/crane/copy:1")" "$digest"
check "makes an image index" crane index append --insecure -m "$image:1" -t "$image:index"
check "lists the catalog" grep -q crane/copy <(crane catalog --insecure "$host")
check "validates every blob" crane validate --remote "$image:1" --insecure
check "deletes by digest" crane delete --insecure "$host/crane/copy@$digest"
check "finds it gone" refused crane digest --insecure "$host/crane/copy:1"

plain_url=$url plain_host=$host plain_pid=$pid
start tls --set "tls.certificate=$scratch/cert.pem" --set "tls.key=$scratch/key.pem"
export SSL_CERT_FILE="$scratch/ca.pem"
check "pushes over TLS" crane append -f "$scratch/layer.tar" -t "$host/crane/tls:1"
check "pulls over TLS" crane pull --format oci "$host/crane/tls:1" "$scratch/crane-tls"
unset SSL_CERT_FILE
check "refuses a certificate that it does not know" refused crane digest "$host/crane/tls:1"
url=$plain_url host=$plain_host pid=$plain_pid
