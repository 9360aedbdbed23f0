//! The first lines on stdout: where the registry is, for programs, and what to type next, for people.

use std::io::Write;
use std::net::SocketAddr;

/// Prints the greeting. Nobody may be reading; that is no reason to stop.
pub(super) fn print(scheme: &str, address: SocketAddr, admin: SocketAddr) {
    let _ = std::io::stdout().lock().write_all(text(scheme, address, admin).as_bytes());
}

/// Prints where a node of the index is. Programs read these lines too.
pub(super) fn print_node(name: &str, address: SocketAddr, admin: SocketAddr) {
    let text =
        format!("roadstead index node {name} is listening on {address}\nhealth and metrics are on http://{admin}\n");
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// The first two lines are read by programs and must stay as they are.
fn text(scheme: &str, address: SocketAddr, admin: SocketAddr) -> String {
    // Docker speaks plain HTTP to loopback; `localhost` is what people type.
    let host = if address.ip().is_loopback() || address.ip().is_unspecified() {
        "localhost".into()
    } else {
        address.ip().to_string()
    };
    let port = address.port();
    let where_it_is =
        format!("roadstead is listening on {scheme}://{address}\nhealth and metrics are on http://{admin}\n");
    // With a certificate, the name that clients use is the certificate's, and whom they trust is theirs to arrange.
    if scheme != "http" {
        return where_it_is;
    }
    format!(
        "{where_it_is}\n\
         Try it:\n\
         \x20 docker pull alpine\n\
         \x20 docker tag alpine {host}:{port}/alpine\n\
         \x20 docker push {host}:{port}/alpine\n"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_are_addresses_and_the_rest_says_what_to_type() {
        let text = text("http", "127.0.0.1:5000".parse().unwrap(), "127.0.0.1:5002".parse().unwrap());
        assert!(text.starts_with(
            "roadstead is listening on http://127.0.0.1:5000\nhealth and metrics are on http://127.0.0.1:5002\n"
        ));
        assert!(text.contains("docker push localhost:5000/alpine\n"));
        let text = super::text("https", "0.0.0.0:5000".parse().unwrap(), "0.0.0.0:5002".parse().unwrap());
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
