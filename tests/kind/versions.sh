# Sourced: the versions of everything here. What is assembled follows from these and from node-image/; its cache is keyed by both.
# shellcheck disable=SC2034

KIND=0.33.0
KUBERNETES=1.35.8
# What kind's release notes list for that version; used wherever it is there or can be pulled.
NODE_IMAGE=kindest/node:v1.35.8@sha256:07b2536e30b803ed61d1677a79df6115f798ce64c80f9e22f6ed45afd09323c0

# Of the assembled node image. The tags are those that kubeadm of this version asks for.
ETCD=3.6.6
ETCD_TAG=3.6.6-0
COREDNS=1.15.0
COREDNS_TAG=v1.13.1
PAUSE_TAGS="3.10 3.10.1"
LOCAL_PATH=0.0.30
DEBIAN=bookworm
