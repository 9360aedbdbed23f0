//! Where the object storage may be, and where not.

use super::*;

fn with_endpoint(endpoint: &str) -> Registry {
    registry(json!({ "storage": { "s3": { "endpoint": endpoint } } }))
}

#[test]
fn the_object_storage_may_be_in_the_cluster_or_elsewhere() {
    for endpoint in [
        "http://s3.s3.svc:7070",
        "http://s3.s3.svc",
        "https://minio.example.com:9000",
        "https://minio.example.com.",
        "https://s3.eu-central-1.amazonaws.com",
        "http://[2001:db8::1]:9000",
        "https://[2001:db8::1]",
        "http://10.0.0.7:9000",
        "http://192.168.1.5",
        "http://minio",
        "http://my_store:9000",
        "https://0x.example.com",
        "https://metadata.example.com",
        "https://kubernetes.example.com",
        "https://localhost.example.com",
        "https://127.0.0.1.example.com",
        "http://MinIO.Example.com",
    ] {
        assert_eq!(problems(&with_endpoint(endpoint), &[]), Vec::<String>::new(), "{endpoint}");
    }
    assert_good(&registry(json!({ "storage": { "s3": { "endpoint": null } } })), &[]);
}

#[test]
fn an_endpoint_where_credentials_are_told_is_refused_in_every_notation() {
    for host in [
        "169.254.169.254",
        "169.254.169.254.",
        "169.254.169.254:80",
        "169.254.169.254.:80",
        "169.254.170.2",
        "2852039166",
        "0xa9fea9fe",
        "0XA9FEA9FE",
        "0xa9.0xfe.0xa9.0xfe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "169.16689662",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]:80",
        "[::169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[fe80::a9fe:a9fe]",
        "[fe80::a9fe:a9fe%25eth0]",
        "[fe80::a9fe:a9fe%eth0]",
        "[fd00:ec2::254]",
        "[fd00:ec2::23]",
        "[fd20:ce::254]",
        "[fd00:42::42]",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "metadata.google.internal",
        "METADATA.google.internal",
        "metadata.google.internal.",
        "metadata.google.internal:80",
        "metadata",
        "metadata.goog",
        "instance-data",
        "instance-data.ec2.internal",
        "instance-data.eu-west-1.compute.internal",
        "metadata.tencentyun.com",
    ] {
        assert_refused(&with_endpoint(&format!("http://{host}")), &[], "ForbiddenEndpoint", "spec.storage.s3.endpoint");
    }
}

#[test]
fn an_endpoint_on_the_machine_itself_is_refused() {
    for host in [
        "localhost",
        "localhost:5002",
        "localhost.",
        "LOCALHOST",
        "a.localhost",
        "localhost.localdomain",
        "ip6-localhost",
        "ip6-loopback",
        "ip6-allnodes",
        "127.0.0.1",
        "127.1",
        "127.0.0.53:53",
        "2130706433",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::1]:5002",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "224.0.0.1",
        "255.255.255.255",
        "[ff02::1]",
    ] {
        assert_refused(&with_endpoint(&format!("http://{host}")), &[], "ForbiddenEndpoint", "spec.storage.s3.endpoint");
    }
}

#[test]
fn the_api_server_is_no_object_storage() {
    for host in [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.",
        "kubernetes.default.svc",
        "kubernetes.default.svc:443",
        "kubernetes.default.svc.cluster.local",
        "kubernetes.default.svc.other.domain.",
    ] {
        assert_refused(
            &with_endpoint(&format!("https://{host}")),
            &[],
            "ForbiddenEndpoint",
            "spec.storage.s3.endpoint",
        );
    }
}

#[test]
fn an_endpoint_that_two_may_read_differently_is_refused() {
    for endpoint in [
        "http://",
        "http://:80",
        "http://.",
        "http://a..b",
        "http://a:b",
        "http://a:",
        "http://a:99999",
        "http://a:80:90",
        "http://::ffff:169.254.169.254",
        "http://[169.254.169.254]",
        "http://[::1",
        "http://[2001:db8::1]9000",
        "http://user@169.254.169.254",
        "http://images:80@169.254.169.254",
        "http://a\\@169.254.169.254",
        "http://169%2e254.169.254",
        "http://１６９.254.169.254",
        "http://ｌocalhost",
        "http://a,b",
    ] {
        assert_refused(&with_endpoint(endpoint), &[], "ForbiddenEndpoint", "spec.storage.s3.endpoint");
    }
}

#[test]
fn no_variable_of_the_pod_stands_in_an_endpoint() {
    // Kubernetes would put the bucket there, and the bucket may be anything.
    for endpoint in [
        "http://$(ROADSTEAD_STORAGE_S3_BUCKET)",
        "http://a:$(ROADSTEAD_STORAGE_S3_BUCKET)",
        "http://$$(ROADSTEAD_STORAGE_S3_BUCKET)",
    ] {
        let registry = registry(json!({ "storage": { "s3": { "endpoint": endpoint, "bucket": "169.254.169.254" } } }));
        assert_refused(&registry, &[], "ForbiddenEndpoint", "spec.storage.s3.endpoint");
    }
}

#[test]
fn a_bucket_that_makes_a_forbidden_host_of_the_endpoint_is_refused() {
    let virtual_host = |bucket: &str, endpoint: &str, path_style: bool| {
        registry(json!({ "storage": { "s3": { "bucket": bucket, "endpoint": endpoint, "pathStyle": path_style } } }))
    };
    for (bucket, endpoint) in [
        ("metadata", "http://google.internal"),
        ("metadata", "http://google.internal.:80"),
        ("instance-data", "http://ec2.internal"),
        ("kubernetes", "https://default.svc"),
        ("kubernetes.default", "http://svc.cluster.local"),
    ] {
        assert_refused(&virtual_host(bucket, endpoint, false), &[], "ForbiddenEndpoint", "spec.storage.s3.endpoint");
        assert_good(&virtual_host(bucket, endpoint, true), &[]);
    }
    assert_good(&virtual_host("images", "https://minio.example.com", false), &[]);
    assert_good(&virtual_host("images", "http://10.0.0.7", false), &[]);
}
