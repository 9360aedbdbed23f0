//! The client listener's handler: hands each request to the API.

use std::sync::{Arc, OnceLock};

use futures::future::Either;
use http::{Request, Response};

use super::Connection;
use super::accept::Handler;
use super::body::WatchedBody;
use crate::app::App;
use crate::http::{Body, handle, not_yet};

/// Answers the client listener. Until there is an [`App`] it says that this is not possible now. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Api {
    app: Arc<OnceLock<Arc<App>>>,
}

impl Api {
    /// From now on requests are answered by `app`.
    pub fn begin(&self, app: Arc<App>) {
        let _ = self.app.set(app); // said once, when the process has started
    }
}

impl Handler for Api {
    type Body = Body;

    fn handle(
        &self,
        request: Request<WatchedBody>,
        connection: Connection,
    ) -> impl Future<Output = Response<Body>> + Send + 'static {
        let Some(app) = self.app.get() else {
            return Either::Left(std::future::ready(not_yet(request.method())));
        };
        let Connection { peer, tls, certificate } = connection;
        let connection = crate::http::Connection { peer, tls, certificate };
        Either::Right(handle(Arc::clone(app), request, connection))
    }
}
