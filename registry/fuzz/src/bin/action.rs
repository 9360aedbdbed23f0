//! Fuzz target: the request line.
#![no_main]

use roadstead::oci::action::Action;

libfuzzer_sys::fuzz_target!(|input: (u8, &str, Option<&str>)| {
    let (method, path, query) = input;
    let methods = [http::Method::GET, http::Method::HEAD, http::Method::PUT, http::Method::POST, http::Method::PATCH];
    let method = methods.get(usize::from(method)).cloned().unwrap_or(http::Method::DELETE);
    if let Ok(action) = Action::parse(&method, path, query) {
        assert!(!action.name().is_empty());
    }
});
