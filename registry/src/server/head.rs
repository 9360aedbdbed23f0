//! Looks at the head of an HTTP/1.1 request before hyper parses it, and refuses what two parsers could read
//! differently: a proxy in front of us that takes such a request for one, where we see two, lets one client speak for
//! another. hyper accepts a bare line feed, and a length beside a transfer encoding; RFC 9112 §2.2 and §6.3 let us
//! refuse both. Pure; [`super::stream`] feeds it what comes in.

use http::StatusCode;

use super::MAX_TARGET_BYTES;
use crate::error::Code;

/// Room for the method and the version beside the target.
const MAX_LINE_BYTES: usize = MAX_TARGET_BYTES + 64;

/// The longest name of a header that we look for.
const LONGEST: usize = "transfer-encoding".len();

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    TargetTooLong,
    /// A line that does not end with carriage return and line feed, or has one of them inside.
    LineEnd,
    /// More than one statement of where the body ends.
    Length,
    Host,
}

impl Refusal {
    pub const fn status(self) -> StatusCode {
        match self {
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::LineEnd | Self::Length | Self::Host => StatusCode::BAD_REQUEST,
        }
    }

    pub const fn message(self) -> &'static str {
        match self {
            Self::TargetTooLong => "the address is longer than 8 KiB",
            Self::LineEnd => "each line of a request's head must end with CR LF",
            Self::Length => "a request must say once how long its body is: by Content-Length or by Transfer-Encoding",
            Self::Host => "a request of HTTP/1.1 must have one Host header",
        }
    }

    /// The body of the answer.
    pub fn json(self) -> String {
        let code = Code::Unsupported.as_str();
        serde_json::json!({ "errors": [{ "code": code, "message": self.message(), "detail": null }] }).to_string()
    }

    /// The whole answer, after which the connection ends.
    pub fn answer(self) -> Vec<u8> {
        let (status, body) = (self.status(), self.json());
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

/// What is known after some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The head goes on.
    Part,
    /// The head is whole and good; what follows is not looked at.
    Whole,
    Refused(Refusal),
}

/// A head that is coming in.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Whether the request line is behind us.
    headers: bool,
    /// Bytes of the line so far, without its end.
    length: usize,
    /// The last byte was a carriage return.
    returned: bool,
    /// The beginning of the line, in lower case.
    begin: Vec<u8>,
    lengths: usize,
    encodings: usize,
}

impl Head {
    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) -> Seen {
        for byte in bytes {
            match self.byte(*byte) {
                Seen::Part => {}
                seen => return seen,
            }
        }
        Seen::Part
    }

    fn byte(&mut self, byte: u8) -> Seen {
        match byte {
            b'\n' if self.returned => return self.line_ended(),
            b'\n' => return Seen::Refused(Refusal::LineEnd),
            _ if self.returned => return Seen::Refused(Refusal::LineEnd),
            b'\r' => self.returned = true,
            _ => {
                self.length += 1;
                if !self.headers && self.length > MAX_LINE_BYTES {
                    return Seen::Refused(Refusal::TargetTooLong);
                }
                if self.headers && self.begin.len() <= LONGEST {
                    self.begin.push(byte.to_ascii_lowercase());
                }
            }
        }
        Seen::Part
    }

    fn line_ended(&mut self) -> Seen {
        let empty = self.length == 0;
        if self.headers && empty {
            return Seen::Whole;
        }
        let name = self.begin.split(|byte| *byte == b':').next().unwrap_or_default();
        match name {
            b"content-length" => self.lengths += 1,
            b"transfer-encoding" => self.encodings += 1,
            _ => {}
        }
        if self.lengths + self.encodings > 1 {
            return Seen::Refused(Refusal::Length);
        }
        // Empty lines before a request are to be skipped (RFC 9112 §2.2).
        self.headers |= !empty;
        self.length = 0;
        self.returned = false;
        self.begin.clear();
        Seen::Part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(head: &str) -> Seen {
        let whole = Head::default().feed(head.as_bytes());
        // In pieces it must be the same.
        let mut pieces = Head::default();
        let mut last = Seen::Part;
        for byte in head.bytes() {
            last = pieces.feed(&[byte]);
            if last != Seen::Part {
                break;
            }
        }
        assert_eq!(whole, last, "{head:?}");
        whole
    }

    #[test]
    fn good_heads_are_whole() {
        for head in [
            "GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\n\r\nGET /v2/ HTTP/1.1\r\n\r\n",
            "PUT / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc\n\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n",
            "PUT / HTTP/1.1\r\nx-content-length: 3\r\ncontent-length-x: 4\r\ncontent-length: 5\r\n\r\n",
        ] {
            assert_eq!(seen(head), Seen::Whole, "{head:?}");
        }
        assert_eq!(seen("GET / HTTP/1.1\r\nHost: a\r\n"), Seen::Part);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (head, refusal) in [
            ("GET / HTTP/1.1\nHost: a\n\n", Refusal::LineEnd),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", Refusal::LineEnd),
            ("GET / HTTP/1.1\r\nX: a\rContent-Length: 3\r\n\r\n", Refusal::LineEnd),
            ("PUT / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", Refusal::Length),
            ("PUT / HTTP/1.1\r\nTRANSFER-ENCODING: chunked\r\ncontent-LENGTH: 3\r\n\r\n", Refusal::Length),
            ("PUT / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", Refusal::Length),
            ("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", Refusal::Length),
        ] {
            assert_eq!(seen(head), Seen::Refused(refusal), "{head:?}");
        }
    }

    #[test]
    fn a_target_is_refused_as_soon_as_it_is_too_long() {
        assert_eq!(seen(&format!("GET /{}", "a".repeat(MAX_TARGET_BYTES))), Seen::Part);
        assert_eq!(seen(&format!("GET /{}", "a".repeat(MAX_LINE_BYTES))), Seen::Refused(Refusal::TargetTooLong));
    }
}
