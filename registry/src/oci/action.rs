//! [`Action`]: what a request line asks for, parsed once and whole.
//!
//! `http` calls [`Action::parse`] and then authorizes, counts and dispatches on the result, never on the path again:
//! so no path can be checked as one thing and served as another, and an endpoint without a permission cannot exist.
//! Pure. It must never accept two spellings of one resource beyond percent-encoding, which is undone exactly once.

mod query;

use http::Method;
use percent_encoding::percent_decode_str;

pub use query::PageRequest;
use query::Parameters;

use super::digest::{Algorithm, Digest, DigestError};
use super::name::RepositoryName;
use super::reference::{Reference, Tag};
use crate::api::operation::Operation;

/// The most `tag` parameters that one push may have.
pub const MAX_TAG_PARAMETERS: usize = 100;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `GET` or `POST /token`: the token service, beside the API of the specification.
    IssueToken { post: bool },
    /// `/api/v1/…`: the administrators' API.
    Administer(Operation),
    /// `GET /v2/`: does this registry speak the API?
    CheckVersion,
    /// `GET /v2/_catalog`.
    ListRepositories { page: PageRequest },
    /// `GET` or `HEAD /v2/<name>/blobs/<digest>`.
    GetBlob { repository: RepositoryName, digest: Digest, head: bool },
    /// `DELETE /v2/<name>/blobs/<digest>`.
    DeleteBlob { repository: RepositoryName, digest: Digest },
    /// `POST /v2/<name>/blobs/uploads/`.
    StartUpload { repository: RepositoryName, start: UploadStart },
    /// `GET /v2/<name>/blobs/uploads/<id>`.
    UploadStatus { repository: RepositoryName, upload: UploadText },
    /// `PATCH /v2/<name>/blobs/uploads/<id>`.
    AppendUpload { repository: RepositoryName, upload: UploadText },
    /// `PUT /v2/<name>/blobs/uploads/<id>?digest=`.
    FinishUpload { repository: RepositoryName, upload: UploadText, digest: Digest },
    /// `DELETE /v2/<name>/blobs/uploads/<id>`.
    CancelUpload { repository: RepositoryName, upload: UploadText },
    /// `GET` or `HEAD /v2/<name>/manifests/<reference>`.
    GetManifest { repository: RepositoryName, reference: Reference, head: bool },
    /// `PUT /v2/<name>/manifests/<reference>?tag=…`. `tags` are those of the parameters, each once.
    PutManifest { repository: RepositoryName, reference: Reference, tags: Vec<Tag> },
    /// `DELETE /v2/<name>/manifests/<digest>`.
    DeleteManifest { repository: RepositoryName, digest: Digest },
    /// `DELETE /v2/<name>/manifests/<tag>`.
    DeleteTag { repository: RepositoryName, tag: Tag },
    /// `GET /v2/<name>/tags/list`.
    ListTags { repository: RepositoryName, page: PageRequest },
    /// `GET /v2/<name>/_roadstead/tags/history?tag=`: an extension, named as the specification reserves it.
    TagHistory { repository: RepositoryName, tag: Tag, page: PageRequest },
    /// `GET /v2/<name>/referrers/<digest>`.
    ListReferrers { repository: RepositoryName, subject: Digest, artifact_type: Option<String>, page: PageRequest },
}

/// What stands for an upload in the path. Not checked yet: see `push::upload_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadText(pub String);

/// How an upload is to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UploadStart {
    /// A session; the client may say which digest algorithm it will finish with.
    Session { algorithm: Option<Algorithm> },
    /// The whole blob is the body of this request.
    Whole { digest: Digest },
    /// Link a blob that another repository has; when that fails, a session.
    Mount { digest: Digest, from: MountSource },
}

/// Where a blob is to be mounted from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    Repository(RepositoryName),
    /// No `from`: wherever the caller may read it.
    Anywhere,
    /// A `from` that is no repository name: nothing can be found there.
    Nowhere,
}

/// Why a request line is not an [`Action`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    #[error("there is nothing at this path; the API of the OCI distribution specification begins with /v2/")]
    Route,
    #[error("this method cannot be used here; use one of: {allow}")]
    Method {
        /// The value of `Allow`.
        allow: &'static str,
    },
    #[error(transparent)]
    Name(#[from] super::name::NameError),
    #[error(transparent)]
    Digest(#[from] DigestError),
    #[error("the digest parameter is missing; finish an upload with ?digest=<digest>")]
    DigestMissing,
    /// An ill-formed tag where a manifest is written.
    #[error(transparent)]
    Tag(super::reference::TagError),
    /// An ill-formed tag where a manifest is looked for: there can be none.
    #[error("there is no such manifest: {0}")]
    TagUnknown(super::reference::TagError),
    #[error("the tag parameter is missing; ask for the history of one tag with ?tag=<tag>")]
    TagMissing,
    #[error("there is nothing at this path of the administrators' API; /api/v1/openapi.json describes it")]
    Operation,
    #[error("say verb and repository: ?subject=user:<name>&verb=<verb>&repository=<name>")]
    Explain,
    #[error("n must be a number without sign, fraction or exponent")]
    PageSize,
    #[error("at most {MAX_TAG_PARAMETERS} tags can be pushed in one request")]
    TooManyTags,
}

/// The resource in the path, before the method is looked at.
enum Route<'a> {
    Version,
    Catalog,
    Blob(&'a [String], &'a str),
    Uploads(&'a [String]),
    Upload(&'a [String], &'a str),
    Manifest(&'a [String], &'a str),
    Tags(&'a [String]),
    History(&'a [String]),
    Referrers(&'a [String], &'a str),
}

impl Action {
    /// Parses the method, the raw path and the raw query of a request.
    pub fn parse(method: &Method, path: &str, query: Option<&str>) -> Result<Self, ActionError> {
        if path == "/token" {
            return match *method {
                Method::GET => Ok(Self::IssueToken { post: false }),
                Method::POST => Ok(Self::IssueToken { post: true }),
                _ => Err(ActionError::Method { allow: "GET, POST" }),
            };
        }
        if let Some(rest) = path.strip_prefix("/api/v1/") {
            return Operation::parse(method, rest, query).map(Self::Administer);
        }
        let rest = match path.strip_prefix("/v2") {
            Some("") => "",
            Some(rest) => rest.strip_prefix('/').ok_or(ActionError::Route)?,
            None => return Err(ActionError::Route),
        };
        // A `%2f` stays inside its segment, where no grammar allows it.
        let segments: Vec<String> =
            rest.split('/').map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned()).collect();
        let route = route(&segments)?;
        let parameters = Parameters::new(query.unwrap_or_default());
        build(method, &route, &parameters)
    }

    /// The name in metrics, logs and audit.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::IssueToken { .. } => "issue_token",
            Self::Administer(operation) => operation.name(),
            Self::CheckVersion => "check_version",
            Self::ListRepositories { .. } => "list_repositories",
            Self::GetBlob { head: false, .. } => "get_blob",
            Self::GetBlob { head: true, .. } => "head_blob",
            Self::DeleteBlob { .. } => "delete_blob",
            Self::StartUpload { .. } => "start_upload",
            Self::UploadStatus { .. } => "upload_status",
            Self::AppendUpload { .. } => "append_upload",
            Self::FinishUpload { .. } => "finish_upload",
            Self::CancelUpload { .. } => "cancel_upload",
            Self::GetManifest { head: false, .. } => "get_manifest",
            Self::GetManifest { head: true, .. } => "head_manifest",
            Self::PutManifest { .. } => "put_manifest",
            Self::DeleteManifest { .. } => "delete_manifest",
            Self::DeleteTag { .. } => "delete_tag",
            Self::ListTags { .. } => "list_tags",
            Self::TagHistory { .. } => "tag_history",
            Self::ListReferrers { .. } => "list_referrers",
        }
    }

    /// What in the repository it is about: a tag, a digest, or the id of an upload.
    pub fn reference(&self) -> Option<String> {
        match self {
            Self::GetBlob { digest, .. }
            | Self::DeleteBlob { digest, .. }
            | Self::FinishUpload { digest, .. }
            | Self::DeleteManifest { digest, .. }
            | Self::StartUpload { start: UploadStart::Whole { digest } | UploadStart::Mount { digest, .. }, .. }
            | Self::ListReferrers { subject: digest, .. } => Some(digest.to_string()),
            Self::UploadStatus { upload, .. }
            | Self::AppendUpload { upload, .. }
            | Self::CancelUpload { upload, .. } => Some(upload.0.clone()),
            Self::GetManifest { reference, .. } | Self::PutManifest { reference, .. } => Some(match reference {
                Reference::Digest(digest) => digest.to_string(),
                Reference::Tag(tag) => tag.as_str().to_owned(),
            }),
            Self::DeleteTag { tag, .. } | Self::TagHistory { tag, .. } => Some(tag.as_str().to_owned()),
            Self::IssueToken { .. }
            | Self::Administer(_)
            | Self::CheckVersion
            | Self::ListRepositories { .. }
            | Self::StartUpload { .. }
            | Self::ListTags { .. } => None,
        }
    }

    /// The repository that a blob is to be mounted from.
    pub const fn source(&self) -> Option<&RepositoryName> {
        match self {
            Self::StartUpload {
                start: UploadStart::Mount { from: MountSource::Repository(repository), .. }, ..
            } => Some(repository),
            _ => None,
        }
    }

    /// The account, group, policy, quota or issuer that administrators are about to see or change.
    pub fn subject(&self) -> Option<&str> {
        match self {
            Self::Administer(operation) => operation.subject(),
            _ => None,
        }
    }

    /// Whether it changes nothing and its request has no body.
    pub const fn is_read(&self) -> bool {
        matches!(
            self,
            Self::CheckVersion
                | Self::ListRepositories { .. }
                | Self::GetBlob { .. }
                | Self::UploadStatus { .. }
                | Self::GetManifest { .. }
                | Self::ListTags { .. }
                | Self::TagHistory { .. }
                | Self::ListReferrers { .. }
        )
    }

    /// The repository it is about; none for the two actions that are about the registry.
    pub const fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Self::IssueToken { .. } | Self::Administer(_) | Self::CheckVersion | Self::ListRepositories { .. } => None,
            Self::GetBlob { repository, .. }
            | Self::DeleteBlob { repository, .. }
            | Self::StartUpload { repository, .. }
            | Self::UploadStatus { repository, .. }
            | Self::AppendUpload { repository, .. }
            | Self::FinishUpload { repository, .. }
            | Self::CancelUpload { repository, .. }
            | Self::GetManifest { repository, .. }
            | Self::PutManifest { repository, .. }
            | Self::DeleteManifest { repository, .. }
            | Self::DeleteTag { repository, .. }
            | Self::ListTags { repository, .. }
            | Self::TagHistory { repository, .. }
            | Self::ListReferrers { repository, .. } => Some(repository),
        }
    }
}

/// Reads the path from its end, since any word may be part of a repository's name.
fn route(segments: &[String]) -> Result<Route<'_>, ActionError> {
    // `_roadstead` and `_catalog` cannot be parts of a name.
    if let [name @ .., extension, component, module] = segments
        && extension == "_roadstead"
    {
        return if component == "tags" && module == "history" {
            Ok(Route::History(name))
        } else {
            Err(ActionError::Route)
        };
    }
    match segments {
        [only] if only.is_empty() => Ok(Route::Version),
        [only] if only == "_catalog" => Ok(Route::Catalog),
        [name @ .., blobs, uploads, last] if blobs == "blobs" && uploads == "uploads" => {
            Ok(if last.is_empty() { Route::Uploads(name) } else { Route::Upload(name, last) })
        }
        [name @ .., kind, last] => match kind.as_str() {
            "blobs" => Ok(Route::Blob(name, last)),
            "manifests" => Ok(Route::Manifest(name, last)),
            "referrers" => Ok(Route::Referrers(name, last)),
            "tags" if last == "list" => Ok(Route::Tags(name)),
            _ => Err(ActionError::Route),
        },
        _ => Err(ActionError::Route),
    }
}

fn build(method: &Method, route: &Route<'_>, parameters: &Parameters) -> Result<Action, ActionError> {
    let get = *method == Method::GET;
    let head = *method == Method::HEAD;
    match route {
        Route::Version if get || head => Ok(Action::CheckVersion),
        Route::Catalog if get || head => Ok(Action::ListRepositories { page: parameters.page()? }),
        Route::Blob(name, digest) => match method.as_str() {
            "GET" | "HEAD" => Ok(Action::GetBlob { repository: repository(name)?, digest: digest.parse()?, head }),
            "DELETE" => Ok(Action::DeleteBlob { repository: repository(name)?, digest: digest.parse()? }),
            _ => Err(ActionError::Method { allow: "GET, HEAD, DELETE" }),
        },
        Route::Uploads(name) => match method.as_str() {
            "POST" => Ok(Action::StartUpload { repository: repository(name)?, start: parameters.upload_start()? }),
            _ => Err(ActionError::Method { allow: "POST" }),
        },
        Route::Upload(name, upload) => {
            let upload = UploadText((*upload).to_owned());
            match method.as_str() {
                "GET" | "HEAD" => Ok(Action::UploadStatus { repository: repository(name)?, upload }),
                "PATCH" => Ok(Action::AppendUpload { repository: repository(name)?, upload }),
                "PUT" => {
                    let repository = repository(name)?;
                    let digest = parameters.first("digest").ok_or(ActionError::DigestMissing)?.parse()?;
                    Ok(Action::FinishUpload { repository, upload, digest })
                }
                "DELETE" => Ok(Action::CancelUpload { repository: repository(name)?, upload }),
                _ => Err(ActionError::Method { allow: "GET, HEAD, PATCH, PUT, DELETE" }),
            }
        }
        Route::Manifest(name, text) => match method.as_str() {
            "GET" | "HEAD" => {
                let repository = repository(name)?;
                Ok(Action::GetManifest { repository, reference: reference(text, ActionError::TagUnknown)?, head })
            }
            "PUT" => {
                let repository = repository(name)?;
                let reference = reference(text, ActionError::Tag)?;
                Ok(Action::PutManifest { repository, reference, tags: parameters.tags()? })
            }
            "DELETE" => {
                let repository = repository(name)?;
                Ok(match reference(text, ActionError::TagUnknown)? {
                    Reference::Digest(digest) => Action::DeleteManifest { repository, digest },
                    Reference::Tag(tag) => Action::DeleteTag { repository, tag },
                })
            }
            _ => Err(ActionError::Method { allow: "GET, HEAD, PUT, DELETE" }),
        },
        Route::Tags(name) if get || head => {
            Ok(Action::ListTags { repository: repository(name)?, page: parameters.page()? })
        }
        Route::History(name) if get || head => {
            let repository = repository(name)?;
            let tag =
                parameters.first("tag").ok_or(ActionError::TagMissing)?.parse().map_err(ActionError::TagUnknown)?;
            Ok(Action::TagHistory { repository, tag, page: parameters.page()? })
        }
        Route::Referrers(name, subject) if get || head => Ok(Action::ListReferrers {
            repository: repository(name)?,
            subject: subject.parse()?,
            artifact_type: parameters.first("artifactType").filter(|text| !text.is_empty()).map(str::to_owned),
            page: parameters.page()?,
        }),
        _ => Err(ActionError::Method { allow: "GET, HEAD" }),
    }
}

fn repository(components: &[String]) -> Result<RepositoryName, ActionError> {
    if components.iter().any(|component| component.contains('/')) {
        return Err(super::name::NameError.into());
    }
    Ok(components.join("/").parse()?)
}

/// A tag cannot contain a colon, so whatever does was meant as a digest.
fn reference(text: &str, wrong: fn(super::reference::TagError) -> ActionError) -> Result<Reference, ActionError> {
    if text.contains(':') {
        return Ok(Reference::Digest(text.parse()?));
    }
    text.parse().map(Reference::Tag).map_err(wrong)
}

#[cfg(test)]
mod tests;
