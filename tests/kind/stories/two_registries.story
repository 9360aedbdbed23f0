# Two Registries in one cluster do not see each other: neither what is in them, nor each other's nodes
small_index | registry one one.example.test
small_index | registry two two.example.test
rests one
rests two
outside one
push_app app one.example.test/team/app:1
one_proxy=$proxy
outside two
[ -z "$(crane catalog two.example.test)" ]
! crane digest two.example.test/team/app:1 2>/dev/null
[ "$(field one .status.index.cluster)" != "$(field two .status.index.cluster)" ]
# The authority of the one is nothing to the other.
ca=$work/one.crt
! crane catalog two.example.test 2>/dev/null
proxy=$one_proxy
crane catalog one.example.test | grep -qx team/app
# An index node refuses a certificate of the other's authority; asked from a pod of the one, with its own certificate.
expect "members of one" "$(field one .status.index.ready)" 3/3
expect "members of two" "$(field two .status.index.ready)" 3/3
k get secret one-peers-ca -o 'jsonpath={.data.ca\.crt}' >"$work/a"
k get secret two-peers-ca -o 'jsonpath={.data.ca\.crt}' >"$work/b"
! cmp -s "$work/a" "$work/b"
