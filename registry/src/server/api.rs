//! The client listener's handler: hands each request to the API.

use std::sync::Arc;

use http::{Request, Response};

use super::Connection;
use super::accept::Handler;
use super::body::WatchedBody;
use crate::app::App;
use crate::http::{Body, handle};

/// Answers the client listener.
#[derive(Clone, Debug)]
pub struct Api {
    pub app: Arc<App>,
}

impl Handler for Api {
    type Body = Body;

    fn handle(
        &self,
        request: Request<WatchedBody>,
        connection: Connection,
    ) -> impl Future<Output = Response<Body>> + Send + 'static {
        let connection = crate::http::Connection { peer: connection.peer, tls: connection.tls };
        handle(Arc::clone(&self.app), request, connection)
    }
}
