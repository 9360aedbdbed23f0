//! The client of the SDK, as configured.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Builder, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
};

use crate::config::{ChecksumMode, S3};

/// A client for `endpoint`, or for AWS. What is not configured comes from the standard chain of the SDK.
pub async fn connect(s3: &S3, endpoint: Option<&str>) -> Client {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    match (&s3.region, endpoint) {
        (Some(region), _) => loader = loader.region(Region::new(region.clone())),
        // Asking the machine for its region makes no sense for a server that is not AWS.
        (None, Some(_)) => loader = loader.region(Region::new("us-east-1")),
        (None, None) => {}
    }
    if let (Some(id), Some(secret)) = (&s3.access_key_id, &s3.secret_access_key) {
        loader = loader.credentials_provider(Credentials::new(id, secret, None, None, "configuration"));
    }
    let attempt = Duration::from_secs(s3.attempt_seconds.max(1));
    let checksums = match s3.checksums {
        ChecksumMode::Supported => {
            (RequestChecksumCalculation::WhenSupported, ResponseChecksumValidation::WhenSupported)
        }
        ChecksumMode::Required => (RequestChecksumCalculation::WhenRequired, ResponseChecksumValidation::WhenRequired),
    };
    let mut builder = Builder::from(&loader.load().await)
        .force_path_style(s3.path_style)
        .request_checksum_calculation(checksums.0)
        .response_checksum_validation(checksums.1)
        .retry_config(RetryConfig::standard().with_max_attempts(s3.attempts.max(1)))
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(attempt).build())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(5).min(attempt))
                .operation_attempt_timeout(attempt)
                .build(),
        );
    if let Some(endpoint) = endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    Client::from_conf(builder.build())
}
