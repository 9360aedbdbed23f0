//! Access: who asks, and what he may do. The judging parts are pure and are asked by handlers and by the index alike.

pub mod authenticate;
pub mod caller;
pub mod claims;
pub mod decide;
pub mod external;
pub mod issuer;
pub mod kubernetes;
pub mod ldap;
pub mod pattern;
pub mod policy;
pub mod quota;
pub mod secret;
pub mod session;
pub mod throttle;
pub mod turns;
