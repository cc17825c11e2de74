//! The client of the AWS SDK, set up so that foreign servers understand it and nothing hangs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{Result as Provided, future};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials, IdentityCache, ProvideCredentials, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, RuntimeComponents, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder as HttpBuilder, Connector};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::model::order::S3Store;
use crate::ports::{PortError, Reason};

/// How long a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long an answer may take that waits for no large body.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);

/// How long a stream may stand still before it is given up and begun again.
const STALL_LIMIT: Duration = Duration::from_mins(1);

/// How often a call is made at most.
const ATTEMPTS: u32 = 6;

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The slowest link a part is waited for, in bytes a second.
const SLOWEST_LINK: u64 = 64 << 10;

/// Makes a client from an order.
pub(super) async fn of(order: &S3Store) -> Result<Client, PortError> {
    let region = Region::new(order.region.clone());
    let http = order.ca_file.as_deref().map(|file| trusting(Path::new(file))).transpose()?;
    let mut config = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(region.clone())
        .force_path_style(order.path_style)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS).with_max_backoff(LONGEST_PAUSE))
        .timeout_config(limits(ANSWER_LIMIT))
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL_LIMIT).build());
    config.set_endpoint_url(order.endpoint.clone());
    config.set_http_client(http.clone());
    config = if order.checksums_when_required {
        config
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
    } else {
        config
            .request_checksum_calculation(RequestChecksumCalculation::WhenSupported)
            .response_checksum_validation(ResponseChecksumValidation::WhenSupported)
    };
    config = match &order.credentials {
        Some(directory) => config
            .credentials_provider(MountedCredentials { directory: directory.into() })
            // What is mounted is read again for every call, so that a rotated key is used at once.
            .identity_cache(IdentityCache::no_cache()),
        None => config.credentials_provider(own_identity(region, http).await),
    };
    Ok(Client::from_conf(config.build()))
}

/// Limits for calls that answer within `answer`.
fn limits(answer: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_LIMIT)
        .read_timeout(answer)
        .operation_attempt_timeout(answer + CONNECT_LIMIT)
        // Attempts that are refused end fast; those nobody answers must not add up to hours.
        .operation_timeout(answer * 3)
        .build()
}

/// What one call needs beside the rest when it sends a large body or is long in answering.
pub(super) fn patient(bytes: usize, bytes_per_sec: u64) -> Builder {
    let slowest = if bytes_per_sec == 0 { SLOWEST_LINK } else { SLOWEST_LINK.min(bytes_per_sec) };
    // Several parts share the link.
    let seconds = (bytes as u64).saturating_mul(4) / slowest.max(1);
    Builder::new().timeout_config(limits(ANSWER_LIMIT + Duration::from_secs(seconds)))
}

/// The pod's own identity: web identity, pod identity, or whatever else AWS' SDKs find by themselves.
async fn own_identity(region: Region, http: Option<SharedHttpClient>) -> DefaultCredentialsChain {
    let mut provider = ProviderConfig::without_region().with_region(Some(region.clone()));
    if let Some(http) = http {
        provider = provider.with_http_client(http);
    }
    DefaultCredentialsChain::builder().configure(provider).region(region).build().await
}

/// An HTTP client that trusts the certificates in a file beside the usual ones.
fn trusting(file: &Path) -> Result<SharedHttpClient, PortError> {
    let unusable = |error: Box<dyn std::error::Error + Send + Sync>| {
        PortError::new(Reason::Credentials, format!("cannot use the certificates in {}", file.display()))
            .caused_by(error)
            .with_hint("look at the key ca.crt of the ConfigMap that MARIADB_BACKUP_S3_CA_CONFIGMAP names")
    };
    let pem = std::fs::read(file).map_err(|error| unusable(error.into()))?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| unusable(error.to_string().into()))?;
    if certificates.is_empty() {
        return Err(unusable("it holds no certificate in PEM format".into()));
    }
    // The SDK would panic at a certificate it cannot read.
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| unusable(error.into()))?;
    }
    let trust = TrustStore::default().with_pem_certificate(pem);
    let context = TlsContext::builder().with_trust_store(trust).build().map_err(|error| unusable(error.into()))?;
    Ok(HttpBuilder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder();
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector
            .proxy_config(ProxyConfig::from_env())
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(context.clone())
            .build()
    }))
}

/// The key pair in a mounted Secret, which never shows in a log.
struct MountedCredentials {
    directory: PathBuf,
}

impl fmt::Debug for MountedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MountedCredentials({})", self.directory.display())
    }
}

impl MountedCredentials {
    fn read(&self) -> Provided {
        let file = |name: &str| {
            let path = self.directory.join(name);
            let text = std::fs::read_to_string(&path);
            text.map(|text| text.trim().to_owned())
                .map_err(|error| CredentialsError::provider_error(format!("cannot read {}: {error}", path.display())))
        };
        let token = self.directory.join("AWS_SESSION_TOKEN");
        let token = if token.exists() { Some(file("AWS_SESSION_TOKEN")?) } else { None };
        let token = token.filter(|token| !token.is_empty());
        Ok(Credentials::new(file("AWS_ACCESS_KEY_ID")?, file("AWS_SECRET_ACCESS_KEY")?, token, None, "mounted"))
    }
}

impl ProvideCredentials for MountedCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(self.read())
    }
}
