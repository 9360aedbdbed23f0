//! The client listener's handler: hands each request to the API.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;

use super::Connection;
use super::accept::Handler;
use super::body::WatchedBody;
use crate::app::App;

#[derive(Clone, Debug)]
pub struct Api {
    pub app: Arc<App>,
}

impl Handler for Api {
    type Body = Full<Bytes>;

    fn handle(
        &self,
        _request: Request<WatchedBody>,
        _: Connection,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send + 'static {
        async move { Response::new(Full::new(Bytes::from_static(b"{}"))) }
    }
}
